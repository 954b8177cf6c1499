// Records what passes between Apache ZooKeeper 3.9.5's clients and servers where one server as it
// comes is not enough: a login by SASL, a member without a quorum, local sessions, sessions that
// move, reconfigurations, and requests that had to wait. For server/tests/golden_client.
//
// Compile and run with ZooKeeper's server and its jars on the class path:
//   javac -cp JARS -d OUT ClientGolden.java EnsembleGolden.java
//   java -cp OUT:JARS EnsembleGolden > ensemble-3.9.5.txt
//
// Lines are those of ClientGolden, and besides:
//   == NAME                 another scene, with servers of its own
//   members N, running N    so many are in the list, and so many run
//   config KEY=VALUE        a line of every member's zoo.cfg
//   password NAME WORD      somebody who may log in
//   ports ID QUORUM ELECTION CLIENT
//   c1 open leader          to whom; `follower` is the one with the lowest number, `other` the next
//   pause, resume           followers are stopped, and go on
//   wait MS                 nothing happens for so long
//   end                     the servers are killed; what is behind it means nothing
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;

public class EnsembleGolden {

    static final long PATIENCE_S = 60;
    static final int CREATE = 1;
    static final int EXISTS = 3;
    static final int GET_DATA = 4;
    static final int SET_DATA = 5;
    static final int PING = 11;
    static final int CLOSE = -11;

    /** Servers of one scene. */
    static class Scene implements AutoCloseable {
        final List<Process> members = new ArrayList<>();
        final int[] clientPorts;

        Scene(String name, int count, int running, String passwords, String... config) throws Exception {
            ClientGolden.settle();
            ClientGolden.line("== " + name);
            ClientGolden.line("members " + count);
            ClientGolden.line("running " + running);
            for (String line : config) {
                ClientGolden.line("config " + line);
            }
            File dir = Files.createTempDirectory("ensemble-golden").toFile();
            List<ServerSocket> held = new ArrayList<>();
            for (int n = 0; n < 3 * count; n++) {
                held.add(new ServerSocket(0, 5, InetAddress.getLoopbackAddress()));
            }
            clientPorts = new int[count];
            StringBuilder list = new StringBuilder();
            for (int n = 0; n < count; n++) {
                int quorum = held.get(3 * n).getLocalPort();
                int election = held.get(3 * n + 1).getLocalPort();
                clientPorts[n] = held.get(3 * n + 2).getLocalPort();
                ClientGolden.line("ports " + (n + 1) + " " + quorum + " " + election + " " + clientPorts[n]);
                if (count > 1) {
                    list.append("server." + (n + 1) + "=127.0.0.1:" + quorum + ":" + election + "\n");
                }
            }
            for (ServerSocket socket : held) {
                socket.close();
            }
            File jaas = new File(dir, "jaas.conf");
            if (passwords != null) {
                StringBuilder users = new StringBuilder("Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required");
                for (String pair : passwords.split(",")) {
                    ClientGolden.line("password " + pair.replace('=', ' '));
                    users.append("\n  user_" + pair.replace("=", "=\"") + "\"");
                }
                Files.writeString(jaas.toPath(), users + ";\n};\n");
            }
            for (int n = 0; n < count; n++) {
                File data = new File(dir, "data-" + n);
                data.mkdir();
                Files.writeString(new File(data, "myid").toPath(), Integer.toString(n + 1));
                File file = new File(dir, "zoo-" + n + ".cfg");
                Files.writeString(file.toPath(), "tickTime=2000\ninitLimit=30\nsyncLimit=30\ndataDir=" + data + "\nclientPort="
                    + clientPorts[n] + "\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n"
                    + "4lw.commands.whitelist=*\nDigestAuthenticationProvider.superDigest=super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss=\n"
                    + String.join("\n", config) + "\n" + list);
                if (n >= running) {
                    continue;
                }
                List<String> command = new ArrayList<>(List.of("java", "-Xmx128m", "-cp", System.getProperty("java.class.path")));
                // Read as it is, without the prefix that other keys of zoo.cfg get.
                command.add("-Dreadonlymode.enabled=" + List.of(config).contains("readonlymode.enabled=true"));
                if (passwords != null) {
                    command.add("-Djava.security.auth.login.config=" + jaas);
                }
                command.add("org.apache.zookeeper.server.quorum.QuorumPeerMain");
                command.add(file.toString());
                members.add(new ProcessBuilder(command).redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .redirectError(new File(dir, "log-" + n)).start());
            }
            for (int n = 0; n < running; n++) {
                long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
                while (mode(n) == null) {
                    if (System.nanoTime() > until) {
                        throw new IllegalStateException("member " + (n + 1) + " does not serve; see " + dir);
                    }
                    Thread.sleep(100);
                }
            }
        }

        String mode(int n) throws Exception {
            try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), clientPorts[n])) {
                socket.setSoTimeout(5000);
                OutputStream out = socket.getOutputStream();
                out.write("srvr".getBytes(StandardCharsets.UTF_8));
                out.flush();
                InputStream in = socket.getInputStream();
                String text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
                int at = text.indexOf("Mode: ");
                return at < 0 ? null : text.substring(at + 6).split("\n")[0].trim();
            } catch (IOException e) {
                return null;
            }
        }

        /** What is opened from now on goes to that member. */
        void to(String whom) throws Exception {
            ClientGolden.settle();
            List<Integer> followers = new ArrayList<>();
            int leader = 0;
            for (int n = 0; n < members.size(); n++) {
                if (mode(n).equals("follower")) {
                    followers.add(n);
                } else {
                    leader = n;
                }
            }
            int at = whom.equals("leader") ? leader : followers.get(whom.equals("follower") ? 0 : 1);
            ClientGolden.serverPort = clientPorts[at];
            ClientGolden.member = " " + whom;
        }

        /** Once nothing is on its way any more. */
        void quiet() throws Exception {
            Thread.sleep(500);
            ClientGolden.settle();
        }

        void signal(int member, String signal) throws Exception {
            new ProcessBuilder("kill", "-" + signal, Long.toString(members.get(member).pid())).start().waitFor();
        }

        void pause() throws Exception {
            quiet();
            for (int n = 0; n < members.size(); n++) {
                if (mode(n).equals("follower")) {
                    signal(n, "STOP");
                }
            }
            ClientGolden.line("pause");
        }

        void resume() throws Exception {
            quiet();
            ClientGolden.line("resume");
            for (int n = 0; n < members.size(); n++) {
                signal(n, "CONT");
            }
        }

        @Override
        public void close() throws Exception {
            quiet();
            ClientGolden.line("end");
            for (Process member : members) {
                member.destroyForcibly();
                member.waitFor();
            }
            ClientGolden.settle();
        }
    }

    static ClientGolden.Body request(int xid, int type) throws IOException {
        return ClientGolden.Body.request(xid, type);
    }

    static ClientGolden.Body create(int xid, String path, int flags) throws IOException {
        return created(request(xid, CREATE), path, flags);
    }

    static ClientGolden.Body created(ClientGolden.Body body, String path, int flags) throws IOException {
        return body.text(path).buffer(new byte[] {1}).intField(1).intField(31).text("world").text("anyone").intField(flags);
    }

    static ClientGolden.Body multi(int xid, String path, int flags) throws IOException {
        ClientGolden.Body body = request(xid, 14).intField(CREATE).bool(false).intField(-1);
        return created(body, path, flags).intField(-1).bool(true).intField(-1);
    }

    static ClientGolden.Body reconfig(int xid, String joining, String leaving, String members, long from) throws IOException {
        ClientGolden.Body body = request(xid, 16);
        for (String text : new String[] {joining, leaving, members}) {
            if (text == null) {
                body.intField(-1);
            } else {
                body.text(text);
            }
        }
        return body.longField(from);
    }

    /** A session that another connection may take up. */
    static class Session {
        long id;
        byte[] passwd = new byte[16];

        ClientGolden.Raw open(String what, boolean readOnly) throws Exception {
            ClientGolden.Raw raw = new ClientGolden.Raw(what);
            raw.send(new ClientGolden.Body().intField(0).longField(0).intField(30_000).longField(id).buffer(passwd).bool(readOnly));
            ByteBuffer reply = ByteBuffer.wrap(raw.read());
            id = reply.getLong(8);
            reply.position(20);
            reply.get(passwd);
            return raw;
        }
    }

    public static void main(String[] args) {
        try {
            // Else Java's client refuses DIGEST-MD5.
            System.setProperty("zookeeper.fips-mode", "false");
            login();
            loginRequired();
            readOnly();
            localSessions();
            moved();
            reconfigured();
            throttled();
            System.exit(0);
        } catch (Throwable e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    static void loginConfig(String... sections) throws Exception {
        StringBuilder text = new StringBuilder();
        for (String section : sections) {
            String[] words = section.split(" ", 3);
            text.append(words[0] + " {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n  username=\""
                + words[1] + "\"\n  password=\"" + words[2] + "\";\n};\n");
        }
        File file = File.createTempFile("clients", ".conf");
        Files.writeString(file.toPath(), text);
        System.setProperty("java.security.auth.login.config", file.toString());
    }

    /** A client of Java's with that section's name and password. */
    static ZooKeeper client(String what, String section, boolean succeeds) throws Exception {
        ClientGolden.say(what);
        CountDownLatch done = new CountDownLatch(1);
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.LOGIN_CONTEXT_NAME_KEY, section);
        Watcher.Event.KeeperState wanted = succeeds ? Watcher.Event.KeeperState.SaslAuthenticated : Watcher.Event.KeeperState.AuthFailed;
        ZooKeeper zk = new ZooKeeper("127.0.0.1:" + ClientGolden.proxy(), 30_000, event -> {
            if (event.getState() == wanted) {
                done.countDown();
            }
        }, config);
        if (!done.await(PATIENCE_S, TimeUnit.SECONDS)) {
            throw new IllegalStateException(what + " did not come to its end");
        }
        ClientGolden.settle();
        return zk;
    }

    static final String PROVIDER = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";

    static void login() throws Exception {
        try (Scene scene = new Scene("a login", 1, 1, "alice=her secret,bob=his secret", PROVIDER)) {
            ClientGolden.serverPort = scene.clientPorts[0];
            loginConfig("Alice alice her secret", "Wrong alice guessed", "Nobody mallory guessed");
            ZooKeeper zk = client("a login by SASL", "Alice", true);
            ClientGolden.step("whoAmI", () -> zk.whoAmI());
            ClientGolden.step("create with a list of one who logged in", () -> zk.create("/hers", null,
                ClientGolden.acl(31, "sasl", "alice"), org.apache.zookeeper.CreateMode.PERSISTENT));
            ClientGolden.step("it is read", () -> zk.getData("/hers", false, null));
            client("a login with another password", "Wrong", false).close();
            client("a login of somebody unknown", "Nobody", false).close();
            ClientGolden.Raw raw = new ClientGolden.Raw("a client without a login").session("");
            raw.ask("another's", request(1, GET_DATA).text("/hers").bool(false));
            raw.ask("a token that is none, after the first", request(2, 102).buffer(new byte[0]));
            raw.send(request(3, 102).buffer("nonsense".getBytes(StandardCharsets.UTF_8)));
            raw.ended();
            ClientGolden.step("the session closes", zk::close);
        }
    }

    static void loginRequired() throws Exception {
        try (Scene scene = new Scene("a login required", 1, 1, "alice=her secret", PROVIDER, "sessionRequireClientSASLAuth=true")) {
            ClientGolden.serverPort = scene.clientPorts[0];
            ClientGolden.pings = true;
            for (int type : new int[] {GET_DATA, CREATE, PING}) {
                ClientGolden.Raw raw = new ClientGolden.Raw("type " + type + " before a login").session("");
                raw.send(type == CREATE ? create(1, "/x", 0) : type == PING ? request(-2, PING) : request(1, type).text("/").bool(false));
                raw.ended();
            }
            ClientGolden.pings = false;
            loginConfig("Alice alice her secret");
            ZooKeeper zk = client("a login", "Alice", true);
            ClientGolden.step("create after it", () -> zk.create("/x", null, ClientGolden.acl(31, "auth", ""),
                org.apache.zookeeper.CreateMode.PERSISTENT));
            ClientGolden.step("the session closes", zk::close);
        }
    }

    static void readOnly() throws Exception {
        // The main thread's own client says what the property says; raw frames say it themselves.
        System.clearProperty("java.security.auth.login.config");
        // Without local sessions Java answers a new client's connect request with a reply of -119,
        // which no client can read.
        try (Scene scene = new Scene("a member without a quorum", 3, 1, null, "readonlymode.enabled=true", "localSessionsEnabled=true")) {
            ClientGolden.serverPort = scene.clientPorts[0];
            ClientGolden.Raw one = new Session().open("a client that only reads", true);
            one.ask("getData", request(1, GET_DATA).text("/zookeeper").bool(false));
            one.ask("exists, nothing", request(2, EXISTS).text("/none").bool(false));
            one.ask("getChildren2", request(3, 12).text("/").bool(false));
            one.ask("create", create(4, "/x", 0));
            one.ask("create, ephemeral", create(5, "/x", 1));
            one.ask("create2", created(request(6, 15), "/x", 0));
            one.ask("createContainer", created(request(7, 19), "/x", 4));
            one.ask("createTTL", created(request(8, 21), "/x", 5).longField(1000));
            one.ask("delete", request(9, 2).text("/x").intField(-1));
            one.ask("setData", request(10, SET_DATA).text("/zookeeper").buffer(new byte[0]).intField(-1));
            one.ask("setACL", request(11, 7).text("/zookeeper").intField(0).intField(-1));
            one.ask("multi", multi(12, "/x", 0));
            one.ask("sync", request(13, 9).text("/"));
            one.ask("reconfig", reconfig(14, null, "3", null, -1));
            one.ask("multiRead", request(15, 22).intField(GET_DATA).bool(false).intField(-1).text("/zookeeper").bool(false).intField(-1).bool(true).intField(-1));
            one.ask("getData with a watch", request(16, GET_DATA).text("/zookeeper").bool(true));
            one.ask("whoAmI", request(17, 107));
            one.send(request(18, CLOSE));
            one.ended();
            ClientGolden.Raw all = new ClientGolden.Raw("a client that wants more than to read");
            all.send(new ClientGolden.Body().intField(0).longField(0).intField(30_000).longField(0).buffer(new byte[16]).bool(false));
            all.ended();
        }
    }

    static void localSessions() throws Exception {
        try (Scene scene = new Scene("local sessions", 3, 3, null, "localSessionsEnabled=true")) {
            for (String whom : new String[] {"follower", "leader"}) {
                scene.to(whom);
                ClientGolden.Raw one = new Session().open("a local session at the " + whom, false);
                one.ask("create", create(1, "/at-" + whom, 0));
                one.ask("create, ephemeral", create(2, "/e", 1));
                one.ask("create2, ephemeral", created(request(3, 15), "/e", 1));
                one.ask("create, ephemeral and sequential", create(4, "/e-", 3));
                if (whom.equals("leader")) {
                    // Through a follower Java's leader says -112, as if the session were not there.
                    one.ask("multi that creates an ephemeral node", multi(5, "/e", 1));
                }
                one.ask("setData", request(6, SET_DATA).text("/at-" + whom).buffer(new byte[] {2}).intField(-1));
                one.send(request(7, CLOSE));
                one.ended();
            }
        }
    }

    static void moved() throws Exception {
        try (Scene scene = new Scene("sessions that move", 3, 3, null)) {
            String[][] ways = {{"follower", "other"}, {"follower", "leader"}, {"leader", "follower"}};
            for (String[] way : ways) {
                for (boolean several : new boolean[] {false, true}) {
                    String name = "/" + way[0] + "-" + way[1] + "-" + several;
                    Session session = new Session();
                    scene.to(way[0]);
                    ClientGolden.Raw left = session.open("a session at the " + way[0], false);
                    left.ask("create, ephemeral", create(1, name, 1));
                    scene.to(way[1]);
                    ClientGolden.Raw next = session.open("it goes on at the " + way[1], false);
                    next.ask("its node", request(1, EXISTS).text(name).bool(false));
                    ClientGolden.say("a change through the connection that it left");
                    try {
                        left.send(several ? multi(2, name + "-late", 0) : create(2, name + "-late", 0));
                    } catch (IOException e) {
                        // It was ended before.
                    }
                    left.ended();
                    next.ask("nothing came of it", request(2, EXISTS).text(name + "-late").bool(false));
                    next.send(request(3, CLOSE));
                    next.ended();
                }
            }
        }
    }

    static ClientGolden.Raw admin(String what) throws Exception {
        ClientGolden.Raw raw = new Session().open(what, false);
        raw.ask("as super", request(-4, 100).intField(0).text("digest").buffer("super:super".getBytes(StandardCharsets.UTF_8)));
        return raw;
    }

    static final String OBSERVER = "server.4=127.0.0.1:11:12:observer;127.0.0.1:13";

    static void reconfigured() throws Exception {
        try (Scene scene = new Scene("reconfigurations", 3, 3, null, "reconfigEnabled=true")) {
            scene.to("leader");
            ClientGolden.Raw nobody = new Session().open("somebody", false);
            nobody.ask("reconfig without a right to it", reconfig(1, OBSERVER, null, null, -1));
            ClientGolden.Raw one = admin("an administrator at the leader");
            one.ask("reconfig from a version that is not the last", reconfig(1, OBSERVER, null, null, 5));
            one.ask("reconfig with a text that is none", reconfig(2, "server.4", null, null, -1));
            one.ask("reconfig with a server without a client port", reconfig(3, "server.4=127.0.0.1:11:12", null, null, -1));
            one.ask("reconfig with an address that is taken", reconfig(4, OBSERVER + ",server.5=127.0.0.1:11:15;127.0.0.1:16", null, null, -1));
            one.ask("reconfig that leaves one", reconfig(5, null, "1,2", null, -1));
            one.ask("reconfig that leaves nobody", reconfig(6, null, "1,2,3", null, -1));
            one.ask("reconfig to members that are not there", reconfig(7, null, null,
                "server.7=127.0.0.1:11:12;127.0.0.1:13,server.8=127.0.0.1:21:22;127.0.0.1:23", -1));
            one.ask("reconfig to a list that is none", reconfig(8, null, null, "server.7=nonsense", -1));
            one.ask("reconfig", reconfig(9, OBSERVER, null, null, -1));
            scene.to("follower");
            ClientGolden.Raw far = admin("an administrator at a follower");
            far.ask("reconfig there", reconfig(1, "server.5=127.0.0.1:31:32:observer;127.0.0.1:33", null, null, -1));
            far.ask("reconfig there from a version that is not the last", reconfig(2, OBSERVER, null, null, 5));
            far.ask("reconfig there to members that are not there", reconfig(3, null, null,
                "server.7=127.0.0.1:11:12;127.0.0.1:13,server.8=127.0.0.1:21:22;127.0.0.1:23", -1));
            scene.pause();
            ClientGolden.say("reconfig that waits for a quorum, and another");
            one.send(reconfig(10, null, "4", null, -1));
            one.send(reconfig(11, null, "5", null, -1));
            scene.resume();
            one.read();
            one.read();
        }
    }

    static void throttled() throws Exception {
        try (Scene scene = new Scene("requests that had to wait", 3, 3, null, "request_throttle_max_requests=1", "throttled_op_wait_time=500")) {
            scene.to("leader");
            ClientGolden.Raw one = new Session().open("somebody", false);
            scene.pause();
            ClientGolden.say("create, which waits for a quorum, and requests behind it");
            one.send(create(1, "/first", 0));
            one.send(create(2, "/second", 0));
            one.send(request(3, GET_DATA).text("/zookeeper").bool(false));
            one.send(request(4, SET_DATA).text("/zookeeper").buffer(new byte[0]).intField(-1));
            one.send(multi(5, "/third", 0));
            one.send(request(6, 9).text("/"));
            one.send(request(-8, 105).longField(1).texts("/").texts().texts().texts().texts());
            ClientGolden.pings = true;
            one.send(request(-2, PING));
            scene.quiet();
            // Longer than throttled_op_wait_time.
            ClientGolden.line("wait 2000");
            Thread.sleep(2000);
            scene.resume();
            for (int n = 0; n < 8; n++) {
                one.read();
            }
            scene.quiet();
            ClientGolden.pings = false;
            one.ask("create, which does not wait", create(7, "/fourth", 0));
            one.ask("nothing came of the others", request(8, EXISTS).text("/second").bool(false));
        }
    }
}
