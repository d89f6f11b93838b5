package race;

import java.util.Properties;

/**
 * The command line that every contestant has: words {@code NAME=VALUE}, where {@code consumer.NAME} and
 * {@code producer.NAME} are settings of Kafka's clients.
 */
final class Words {
    private final Properties words = new Properties();

    Words(String[] args) {
        for (String word : args) {
            int end = word.indexOf('=');
            words.setProperty(word.substring(0, end), word.substring(end + 1));
        }
    }

    /** A word that must be there; there is one workload here. */
    String text(String name) {
        String value = words.getProperty(name);
        if (value == null) {
            throw new IllegalArgumentException(name + "=VALUE is missing");
        }
        return value;
    }

    long number(String name) {
        return Long.parseLong(text(name));
    }

    /** The settings of one of Kafka's clients. */
    Properties settings(String client) {
        Properties settings = new Properties();
        for (String name : words.stringPropertyNames()) {
            if (name.startsWith(client + ".")) {
                settings.setProperty(name.substring(client.length() + 1), words.getProperty(name));
            }
        }
        return settings;
    }

    /** The work of the race's only step. */
    static byte[] upper(byte[] text) {
        byte[] upper = new byte[text.length];
        for (int i = 0; i < text.length; i++) {
            byte letter = text[i];
            upper[i] = letter >= 'a' && letter <= 'z' ? (byte) (letter - 32) : letter;
        }
        return upper;
    }
}
