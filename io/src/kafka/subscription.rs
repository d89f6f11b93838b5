//! Which topics a source reads: one, several, or all whose name fits a pattern.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::Client;
use slotflow_runtime::{Problem, Result, SplitId};

use super::failure;
use super::lookup::{Lookup, ask, ask_all};
use super::settings::{Settings, is_topic_name};

/// The topics a source was told to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subscription {
    Topics(Vec<String>),
    Pattern(String),
}

/// A partition of a topic, and the number that the job knows it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicPartition {
    pub split: SplitId,
    pub topic: Arc<str>,
    pub partition: SplitId,
}

impl TopicPartition {
    /// Whether it is this one.
    pub fn is(&self, topic: &str, partition: SplitId) -> bool {
        *self.topic == *topic && self.partition == partition
    }
}

impl Subscription {
    /// How it is named in plans and errors.
    pub fn describe(&self) -> String {
        match self {
            Subscription::Topics(topics) => topics.join(", "),
            Subscription::Pattern(pattern) => pattern.clone(),
        }
    }

    pub fn problems(&self, subject: &str) -> Vec<Problem> {
        let names = match self {
            Subscription::Topics(names) => names.clone(),
            Subscription::Pattern(pattern) => vec![pattern.replace('*', "")],
        };
        let mut problems = Vec::new();
        let mut problem = |what: &str, remedy: &str| problems.push(Problem::new(subject, what, remedy));
        if names.is_empty() || names == [""] && matches!(self, Subscription::Topics(_)) {
            problem("has no topic", "name one with .topic(..)");
        }
        for name in names.iter().filter(|name| !name.is_empty() && !is_topic_name(name)) {
            let what = format!("has a topic whose name cannot be: {name:?}");
            problem(&what, "use up to 249 letters, digits, dots, dashes and underscores");
        }
        let second = (1..names.len()).filter(|second| names[..*second].contains(&names[*second]));
        for name in second.map(|second| &names[second]) {
            problem(&format!("names topic {name:?} twice"), "name each once");
        }
        problems
    }

    /// Asks the brokers for the topics and how many partitions each has, in the order of the names.
    pub fn find(
        &self,
        settings: &Settings,
        lookup: &Lookup<'_>,
        client: &Client<impl rdkafka::ClientContext>,
        serve: impl Fn(),
    ) -> Result<Vec<(Arc<str>, u32)>> {
        match self {
            Subscription::Topics(names) => {
                let of = |name: &String| Ok((name.as_str().into(), lookup.partitions(name, client, &serve)?));
                names.iter().map(of).collect()
            }
            Subscription::Pattern(pattern) => {
                let found = lookup.topics(client, &serve, |name| fits(pattern, name))?;
                if found.is_empty() {
                    return Err(failure::no_topic_fits(&settings.brokers, pattern));
                }
                Ok(found)
            }
        }
    }

    /// What a consumer subscribes to in a group: names, or an expression, which librdkafka takes for one because of its
    /// first character.
    pub fn names(&self) -> Vec<String> {
        match self {
            Subscription::Topics(names) => names.clone(),
            Subscription::Pattern(pattern) => {
                vec![format!("^{}$", pattern.replace('.', "\\.").replace('*', ".*"))]
            }
        }
    }

    /// An expression for topics that librdkafka takes for unknown, as that of [`names`](Subscription::names) cannot
    /// leave out what does not [fit](fits) besides.
    pub fn left_out(&self) -> Option<&'static str> {
        match self {
            Subscription::Pattern(pattern) if !pattern.starts_with("__") => Some("^__"),
            _ => None,
        }
    }

    /// Asks once, while a job runs. `None` where nobody answers or a topic cannot be asked for now.
    pub fn find_now(
        &self,
        client: &Client<impl rdkafka::ClientContext>,
        wait: Duration,
    ) -> Option<Vec<(Arc<str>, u32)>> {
        match self {
            Subscription::Topics(names) => {
                let of = |name: &String| Some((name.as_str().into(), ask(client, name, wait).found()?));
                names.iter().map(of).collect()
            }
            Subscription::Pattern(pattern) => ask_all(client, |name| fits(pattern, name), wait).found(),
        }
    }
}

/// The partitions that are new among these topics, numbered behind those that are known.
pub(super) fn new_among(topics: &[(Arc<str>, u32)], known: &[TopicPartition]) -> Vec<TopicPartition> {
    let is_new = |it: &TopicPartition| {
        !known.iter().any(|known| known.topic == it.topic && known.partition == it.partition)
    };
    let new = numbered(topics).into_iter().filter(is_new);
    (known.len() as SplitId..).zip(new).map(|(split, it)| TopicPartition { split, ..it }).collect()
}

/// Numbers the partitions: topic by topic for one topic, and else partition by partition, so that the equal ones stand
/// side by side.
pub(super) fn numbered(topics: &[(Arc<str>, u32)]) -> Vec<TopicPartition> {
    let most = topics.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let rows = (0..most).flat_map(|partition| {
        let having = topics.iter().filter(move |(_, count)| partition < *count);
        having.map(move |(topic, _)| (topic.clone(), partition))
    });
    let numbered = rows.enumerate();
    numbered
        .map(|(split, (topic, partition))| TopicPartition { split: split as SplitId, topic, partition })
        .collect()
}

/// Whether a name fits a pattern, in which `*` stands for any text. Kafka's own topics, which begin with two
/// underscores, fit only a pattern that begins so, too.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with("__") && !pattern.starts_with("__") {
        return false;
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name) in [("a-*", "a-"), ("*", "x"), ("a*b*c", "a-b-b-c"), ("*-eu", "a-eu"), ("a", "a")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("a-*", "b-a-"), ("a", "ab"), ("a*b*c", "acb"), ("ab*ba", "aba"), ("*", "__offsets")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        assert!(fits("__*", "__offsets"));
    }

    #[test]
    fn equal_partitions_stand_side_by_side() {
        let numbered = numbered(&[("a".into(), 3), ("b".into(), 1)]);
        let places: Vec<_> = numbered.iter().map(|it| (it.split, &*it.topic, it.partition)).collect();
        assert_eq!(places, [(0, "a", 0), (1, "b", 0), (2, "a", 1), (3, "a", 2)]);
    }

    #[test]
    fn what_is_new_is_numbered_behind_what_is_known() {
        let known = numbered(&[("a".into(), 2)]);
        let new = new_among(&[("a".into(), 3), ("b".into(), 2)], &known);
        let places: Vec<_> = new.iter().map(|it| (it.split, &*it.topic, it.partition)).collect();
        assert_eq!(places, [(2, "b", 0), (3, "b", 1), (4, "a", 2)]);
        assert!(new_among(&[("a".into(), 1)], &known).is_empty(), "what is not told of is not gone");
    }

    #[test]
    fn what_cannot_be_topics_is_told() {
        let told = |subscription: Subscription| subscription.problems("kafka()").len();
        assert_eq!(told(Subscription::Topics(vec![])), 1);
        assert_eq!(told(Subscription::Topics(vec!["".into()])), 1);
        assert_eq!(told(Subscription::Topics(vec!["a".into(), "a".into(), "b/c".into()])), 2);
        assert_eq!(told(Subscription::Pattern("a b*".into())), 1);
        assert_eq!(told(Subscription::Pattern("*".into())), 0);
    }
}
