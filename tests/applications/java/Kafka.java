// Kafka 3.9 in ZooKeeper mode on an ensemble: two brokers, topics, records there and back; then the
// ensemble's leader is killed, and at last each broker restarted, the controller among them.
//
//   java -cp JARS Kafka CONNECT-STRING DIRECTORY
//
// Prints `kill the leader` and waits for a line on standard input.
import java.io.File;
import java.time.Duration;
import java.util.Collections;
import java.util.HashSet;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import kafka.server.KafkaConfig;
import kafka.server.KafkaServer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Time;
import scala.Option;

public class Kafka {

    static final int RECORDS = 200;
    static final long PATIENCE_S = 60;
    static String bootstrap;

    static KafkaServer broker(int id, int port, String connect, File directory) {
        Properties config = new Properties();
        config.put("broker.id", Integer.toString(id));
        config.put("zookeeper.connect", connect + "/kafka");
        config.put("zookeeper.session.timeout.ms", "10000");
        config.put("listeners", "PLAINTEXT://127.0.0.1:" + port);
        config.put("log.dirs", new File(directory, "broker-" + id).getPath());
        config.put("offsets.topic.replication.factor", "2");
        config.put("offsets.topic.num.partitions", "4");
        config.put("num.network.threads", "1");
        config.put("num.io.threads", "2");
        config.put("controlled.shutdown.enable", "true");
        config.put("group.initial.rebalance.delay.ms", "0");
        config.put("log.cleaner.enable", "false");
        KafkaServer server = new KafkaServer(KafkaConfig.fromProps(config, false), Time.SYSTEM, Option.empty(), false);
        server.startup();
        return server;
    }

    static Properties client() {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        return config;
    }

    /** A new topic at both brokers; the controller has to be there for it. */
    static void topic(String name) throws Exception {
        try (Admin admin = Admin.create(client())) {
            admin.createTopics(Collections.singleton(new NewTopic(name, 3, (short) 2))).all().get(PATIENCE_S, TimeUnit.SECONDS);
        }
    }

    static void produce(String topic, int from) throws Exception {
        Properties config = client();
        config.put("acks", "all");
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int n = from; n < from + RECORDS; n++) {
                producer.send(new ProducerRecord<>(topic, Integer.toString(n), "record " + n));
            }
            producer.flush();
        }
    }

    /** Reads until that many different records have come. */
    static void consume(String topic, String group, int wanted) {
        Properties config = client();
        config.put("group.id", group);
        config.put("auto.offset.reset", "earliest");
        Set<String> seen = new HashSet<>();
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(Collections.singleton(topic));
            while (seen.size() < wanted) {
                if (System.nanoTime() > until) {
                    throw new IllegalStateException("only " + seen.size() + " of " + wanted + " records of " + topic);
                }
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    seen.add(record.value());
                }
            }
            consumer.commitSync();
        }
    }

    /** Waits until every partition is in sync at all its brokers: before, the next must not go. */
    static void awaitInSync() throws Exception {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
        try (Admin admin = Admin.create(client())) {
            while (true) {
                Set<String> names = admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get(PATIENCE_S, TimeUnit.SECONDS);
                boolean all = admin.describeTopics(names).allTopicNames().get(PATIENCE_S, TimeUnit.SECONDS).values().stream()
                    .flatMap(topic -> topic.partitions().stream())
                    .allMatch(partition -> partition.isr().size() == partition.replicas().size() && partition.leader() != null);
                if (all) {
                    return;
                }
                if (System.nanoTime() > until) {
                    throw new IllegalStateException("the brokers do not come in sync");
                }
                Thread.sleep(100);
            }
        }
    }

    public static void main(String[] args) {
        Program.main("Kafka", args, Kafka::run);
    }

    static void run(String connect, File directory) throws Exception {
        int[] ports = {Program.freePort(), Program.freePort()};
        bootstrap = "127.0.0.1:" + ports[0] + ",127.0.0.1:" + ports[1];
        KafkaServer[] brokers = {broker(0, ports[0], connect, directory), broker(1, ports[1], connect, directory)};
        Program.say("two brokers");
        topic("first");
        produce("first", 0);
        consume("first", "readers", RECORDS);
        Program.say("a topic, " + RECORDS + " records there and back");

        Program.killTheLeader();
        produce("first", RECORDS);
        consume("first", "others", 2 * RECORDS);
        topic("second");
        produce("second", 0);
        consume("second", "readers", RECORDS);
        Program.say("all of it again on another leader");

        for (int id : new int[] {0, 1}) {
            brokers[id].shutdown();
            brokers[id].awaitShutdown();
            Program.say("broker " + id + " down");
            String topic = "without-" + id;
            try (Admin admin = Admin.create(client())) {
                admin.createTopics(Collections.singleton(new NewTopic(topic, 1, (short) 1))).all().get(PATIENCE_S, TimeUnit.SECONDS);
            }
            produce(topic, 0);
            consume(topic, "readers-" + id, RECORDS);
            Program.say("a topic without it");
            brokers[id] = broker(id, ports[id], connect, directory);
            awaitInSync();
            Program.say("it is back, and in sync");
        }
        consume("first", "the last", 2 * RECORDS);
        Program.say("all " + 2 * RECORDS + " records are there");
        for (KafkaServer broker : brokers) {
            broker.shutdown();
        }
    }
}
