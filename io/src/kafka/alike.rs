//! What a source and a sink are told alike: methods of both, with one text.

/// Gives these methods to a source or a sink, whose `settings` they are about.
macro_rules! told_alike {
    ($connector:ty) => {
        impl $connector {
            /// For latency (the default) or for throughput.
            #[must_use]
            pub fn preset(mut self, preset: super::Preset) -> Self {
                self.settings.preset = preset;
                self
            }

            /// How long brokers may take to answer before the start, and at the end to store a source's last offsets
            /// (default 10 s).
            #[must_use]
            pub fn connect_timeout(mut self, timeout: std::time::Duration) -> Self {
                self.settings.connect_timeout = timeout;
                self
            }

            /// A setting of librdkafka by its own name, such as `sasl.username` or `compression.type`; the last value
            /// counts. Those that this one's promises stand on are refused.
            #[must_use]
            pub fn setting(mut self, key: impl Into<String>, value: impl std::fmt::Display) -> Self {
                self.settings.set(key, value);
                self
            }

            /// Settings that sources and sinks share, such as how brokers let in; its `bootstrap.servers` replaces the
            /// address given so far. Those that this one's promises stand on are refused.
            #[must_use]
            pub fn with_settings(mut self, shared: &super::KafkaSettings) -> Self {
                self.settings.add(shared);
                self
            }

            /// Where tokens for SASL/OAUTHBEARER come from: asked before the start and again when most of a token's
            /// time is over, on a thread of its own, where it may wait. An error says why there is none; so does one
            /// that takes longer than [`connect_timeout`](Self::connect_timeout), until it is over. That fails the
            /// start, and a running job tries again. Needs the feature `kafka-ssl`.
            #[must_use]
            pub fn oauth_tokens(
                mut self,
                fetch: impl Fn() -> std::result::Result<super::OauthToken, String> + Send + Sync + 'static,
            ) -> Self {
                self.settings.tokens = Some(super::oauth::Tokens::new(fetch));
                self
            }
        }
    };
}
pub(super) use told_alike;
