// Records what passes between Apache ZooKeeper 3.9.5's client and its server, for every type of
// request and every error that one server can be brought to, for server/tests/golden_client.rs.
//
// Compile and run with ZooKeeper's jars on the class path:
//   javac -cp JARS -d OUT ClientGolden.java
//   java -Dzookeeper.extendedTypesEnabled=true -Dzookeeper.enforceQuota=true \
//     -Dzookeeper.DigestAuthenticationProvider.superDigest=super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss= \
//     -cp OUT:JARS ClientGolden > client-3.9.5.txt
//
// A line is a frame: the connection's letter, `>` from the client or `<` from the server, its bytes
// in hex. `A open` and `A shut` are the socket's beginning and end; `A close` is the client's.
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.StatsTrack;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.NIOServerCnxnFactory;
import org.apache.zookeeper.server.ServerCnxnFactory;
import org.apache.zookeeper.server.ZooKeeperServer;

public class ClientGolden {

    static final PrintStream out = System.out;
    static final Object lock = new Object();
    static int serverPort;
    /** Behind `open`: which of several members is meant. */
    static String member = "";
    static int next = 1;
    static volatile long quietSince;
    static volatile boolean pings;

    static void line(String text) {
        synchronized (lock) {
            out.println(text);
            out.flush();
            quietSince = System.nanoTime();
        }
    }

    static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte b : bytes) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }

    static void say(String what) throws Exception {
        settle();
        line("# " + what);
    }

    /** Waits until nothing has passed for a while, so that each frame stands under its heading. */
    static void settle() throws Exception {
        while (System.nanoTime() - quietSince < 60_000_000L) {
            Thread.sleep(5);
        }
    }

    /** Takes one connection and passes its frames on, writing each down. */
    static int proxy() throws Exception {
        ServerSocket listener = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
        Thread thread = new Thread(() -> {
            try {
                while (true) {
                    Socket client = listener.accept();
                    String name; synchronized (lock) { name = "c" + next++; }
                    line(name + " open" + member);
                    Socket server = new Socket(InetAddress.getLoopbackAddress(), serverPort);
                    client.setTcpNoDelay(true);
                    server.setTcpNoDelay(true);
                    pass(client, server, name + " > ", name + " close");
                    pass(server, client, name + " < ", name + " shut");
                }
            } catch (IOException e) {
                // The end.
            }
        });
        thread.setDaemon(true);
        thread.start();
        return listener.getLocalPort();
    }

    static void pass(Socket from, Socket to, String prefix, String end) {
        Thread thread = new Thread(() -> {
            try {
                DataInputStream in = new DataInputStream(from.getInputStream());
                DataOutputStream sink = new DataOutputStream(to.getOutputStream());
                while (true) {
                    int len = in.readInt();
                    if (len < 0 || len > 0xfffff) {
                        // No frame follows.
                        ByteArrayOutputStream word = new ByteArrayOutputStream();
                        new DataOutputStream(word).writeInt(len);
                        line(prefix + "!" + hex(word.toByteArray()));
                        sink.writeInt(len);
                        continue;
                    }
                    byte[] content = new byte[len];
                    in.readFully(content);
                    // Clients ping when they like; the one ping that is meant is a raw one.
                    boolean ping = len >= 4 && content[0] == -1 && content[3] == -2;
                    if (!ping || pings) {
                        line(prefix + hex(content));
                    }
                    ByteArrayOutputStream frame = new ByteArrayOutputStream();
                    DataOutputStream data = new DataOutputStream(frame);
                    data.writeInt(len);
                    data.write(content);
                    sink.write(frame.toByteArray());
                }
            } catch (IOException e) {
                line(end);
                try {
                    to.shutdownOutput();
                } catch (IOException ignored) {
                    // It is gone already.
                }
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    interface Step {
        void run() throws Exception;
    }

    /** A step that has to fail with this code. */
    static void refused(String what, KeeperException.Code code, Step step) throws Exception {
        say(what + ": " + code);
        try {
            step.run();
        } catch (KeeperException e) {
            if (e.code() == code) {
                return;
            }
            throw new IllegalStateException(what + " failed with " + e.code(), e);
        }
        throw new IllegalStateException(what + " was not refused");
    }

    static void step(String what, Step step) throws Exception {
        say(what);
        step.run();
    }

    static ZooKeeper client(String what, int timeout) throws Exception {
        say(what);
        CountDownLatch connected = new CountDownLatch(1);
        ZKClientConfig config = new ZKClientConfig();
        ZooKeeper zk = new ZooKeeper("127.0.0.1:" + proxy(), timeout, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        }, config);
        connected.await();
        return zk;
    }

    /** A connection of raw frames through the proxy, with a session unless told otherwise. */
    static class Raw {
        final Socket socket;
        final DataInputStream in;
        final DataOutputStream sink;

        Raw(String what) throws Exception {
            say(what);
            socket = new Socket(InetAddress.getLoopbackAddress(), proxy());
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(10_000);
            in = new DataInputStream(socket.getInputStream());
            sink = new DataOutputStream(socket.getOutputStream());
        }

        Raw handshake(long zxid, int timeout, long session, byte[] passwd, boolean readOnly) throws Exception {
            send(new Body().intField(0).longField(zxid).intField(timeout).longField(session).buffer(passwd)
                .bool(false).cut(readOnly ? 0 : 1));
            return this;
        }

        Raw session(String what) throws Exception {
            handshake(0, 30_000, 0, new byte[16], true);
            read();
            return this;
        }

        void send(Body body) throws Exception {
            byte[] content = body.bytes();
            ByteArrayOutputStream frame = new ByteArrayOutputStream();
            DataOutputStream data = new DataOutputStream(frame);
            data.writeInt(content.length);
            data.write(content);
            sink.write(frame.toByteArray());
            sink.flush();
        }

        byte[] read() throws Exception {
            byte[] content = new byte[in.readInt()];
            in.readFully(content);
            return content;
        }

        void ask(String what, Body body) throws Exception {
            say(what);
            send(body);
            // Events may come before the reply.
            byte[] head = {-1, -1, -1, -1};
            while (Arrays.equals(Arrays.copyOf(read(), 4), head)) {
                continue;
            }
        }

        void ended() throws Exception {
            try {
                while (true) {
                    read();
                }
            } catch (EOFException | java.net.SocketException e) {
                socket.close();
            }
            settle();
        }
    }

    static class Body {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        private final DataOutputStream data = new DataOutputStream(bytes);
        private int cut;

        static Body request(int xid, int type) throws IOException {
            return new Body().intField(xid).intField(type);
        }

        Body intField(int value) throws IOException {
            data.writeInt(value);
            return this;
        }

        Body longField(long value) throws IOException {
            data.writeLong(value);
            return this;
        }

        Body bool(boolean value) throws IOException {
            data.writeBoolean(value);
            return this;
        }

        Body buffer(byte[] value) throws IOException {
            data.writeInt(value.length);
            data.write(value);
            return this;
        }

        Body text(String value) throws IOException {
            return buffer(value.getBytes(StandardCharsets.UTF_8));
        }

        Body texts(String... values) throws IOException {
            data.writeInt(values.length);
            for (String value : values) {
                text(value);
            }
            return this;
        }

        Body cut(int count) {
            cut = count;
            return this;
        }

        byte[] bytes() {
            byte[] all = bytes.toByteArray();
            return Arrays.copyOf(all, all.length - cut);
        }
    }

    static List<ACL> acl(int perms, String scheme, String id) {
        return new ArrayList<>(Collections.singletonList(new ACL(perms, new Id(scheme, id))));
    }

    public static void main(String[] args) {
        try {
            record();
            System.exit(0);
        } catch (Throwable e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    static void record() throws Exception {
        File dir = Files.createTempDirectory("client-golden").toFile();
        ZooKeeperServer server = new ZooKeeperServer(dir, dir, 2000);
        server.setMaxSessionTimeout(60_000);
        ServerCnxnFactory factory = new NIOServerCnxnFactory();
        factory.configure(new InetSocketAddress("127.0.0.1", 0), 0);
        factory.startup(server);
        serverPort = factory.getLocalPort();

        ZooKeeper zk = client("a session", 30_000);
        creates(zk);
        reads(zk);
        changes(zk);
        lists(zk);
        multis(zk);
        watches(zk);
        quotas(zk);
        others(zk);
        raw(zk);
        step("the session closes, and its ephemeral nodes go", zk::close);
        settle();
    }

    static void creates(ZooKeeper zk) throws Exception {
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        byte[] data = "data".getBytes(StandardCharsets.UTF_8);
        step("create", () -> zk.create("/a", data, open, CreateMode.PERSISTENT));
        step("create without data", () -> zk.create("/null", null, open, CreateMode.PERSISTENT));
        step("create with empty data", () -> zk.create("/empty", new byte[0], open, CreateMode.PERSISTENT));
        step("create, ephemeral", () -> zk.create("/a/e", data, open, CreateMode.EPHEMERAL));
        step("create, sequential", () -> zk.create("/a/s-", data, open, CreateMode.PERSISTENT_SEQUENTIAL));
        step("create, ephemeral and sequential", () -> zk.create("/a/s-", data, open, CreateMode.EPHEMERAL_SEQUENTIAL));
        step("create2", () -> zk.create("/a/two", data, open, CreateMode.PERSISTENT, new Stat()));
        step("create2, ephemeral", () -> zk.create("/a/two-e", data, open, CreateMode.EPHEMERAL, new Stat()));
        step("createContainer", () -> zk.create("/c", data, open, CreateMode.CONTAINER, new Stat()));
        step("createTTL", () -> zk.create("/t", data, open, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 100_000));
        step("createTTL, sequential", () -> zk.create("/t-", data, open, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, new Stat(), 100_000));
        refused("create what is there", KeeperException.Code.NODEEXISTS, () -> zk.create("/a", data, open, CreateMode.PERSISTENT));
        refused("create below nothing", KeeperException.Code.NONODE, () -> zk.create("/none/x", data, open, CreateMode.PERSISTENT));
        refused("create below an ephemeral node", KeeperException.Code.NOCHILDRENFOREPHEMERALS, () -> zk.create("/a/e/x", data, open, CreateMode.PERSISTENT));
        refused("create with a list of nobody", KeeperException.Code.INVALIDACL, () -> zk.create("/x", data, acl(31, "auth", ""), CreateMode.PERSISTENT));
        refused("create with an unknown scheme", KeeperException.Code.INVALIDACL, () -> zk.create("/x", data, acl(31, "nothing", "x"), CreateMode.PERSISTENT));
        refused("create2 what is there", KeeperException.Code.NODEEXISTS, () -> zk.create("/a", data, open, CreateMode.PERSISTENT, new Stat()));
    }

    static void reads(ZooKeeper zk) throws Exception {
        step("exists", () -> zk.exists("/a", false));
        step("exists, an ephemeral node", () -> zk.exists("/a/e", false));
        step("exists, a container", () -> zk.exists("/c", false));
        step("exists, nothing", () -> zk.exists("/none", false));
        step("getData", () -> zk.getData("/a", false, new Stat()));
        step("getData, null", () -> zk.getData("/null", false, new Stat()));
        step("getData, empty", () -> zk.getData("/empty", false, new Stat()));
        refused("getData", KeeperException.Code.NONODE, () -> zk.getData("/none", false, null));
        step("getChildren2", () -> zk.getChildren("/a", false, new Stat()));
        step("getChildren", () -> zk.getChildren("/a", false));
        step("getChildren, none", () -> zk.getChildren("/a/two", false));
        refused("getChildren2", KeeperException.Code.NONODE, () -> zk.getChildren("/none", false, new Stat()));
        step("getAllChildrenNumber", () -> zk.getAllChildrenNumber("/a"));
        refused("getAllChildrenNumber", KeeperException.Code.NONODE, () -> zk.getAllChildrenNumber("/none"));
        step("getEphemerals", () -> zk.getEphemerals());
        step("getEphemerals of a prefix", () -> zk.getEphemerals("/a/s"));
        step("getACL", () -> zk.getACL("/a", new Stat()));
        refused("getACL", KeeperException.Code.NONODE, () -> zk.getACL("/none", new Stat()));
        step("multiRead", () -> zk.multi(Arrays.asList(Op.getData("/a"), Op.getChildren("/a/two"), Op.getData("/none"))));
        step("whoAmI", () -> zk.whoAmI());
        step("sync", () -> {
            CountDownLatch done = new CountDownLatch(1);
            zk.sync("/a", (rc, path, ctx) -> done.countDown(), null);
            done.await();
        });
    }

    static void changes(ZooKeeper zk) throws Exception {
        byte[] more = "more".getBytes(StandardCharsets.UTF_8);
        step("setData", () -> zk.setData("/a", more, 0));
        step("setData, any version", () -> zk.setData("/a", more, -1));
        step("setData to null", () -> zk.setData("/a", null, -1));
        refused("setData, a wrong version", KeeperException.Code.BADVERSION, () -> zk.setData("/a", more, 7));
        refused("setData", KeeperException.Code.NONODE, () -> zk.setData("/none", more, -1));
        step("delete", () -> zk.delete("/empty", 0));
        refused("delete, a wrong version", KeeperException.Code.BADVERSION, () -> zk.delete("/null", 7));
        refused("delete", KeeperException.Code.NONODE, () -> zk.delete("/none", -1));
        refused("delete what has children", KeeperException.Code.NOTEMPTY, () -> zk.delete("/a", -1));
    }

    static void lists(ZooKeeper zk) throws Exception {
        byte[] data = "guarded".getBytes(StandardCharsets.UTF_8);
        step("auth, digest", () -> {
            zk.addAuthInfo("digest", "user:word".getBytes(StandardCharsets.UTF_8));
            settle();
        });
        step("whoAmI with a digest", () -> zk.whoAmI());
        step("create with scheme auth", () -> zk.create("/own", data, acl(31, "auth", ""), CreateMode.PERSISTENT));
        step("getACL, the owner's", () -> zk.getACL("/own", new Stat()));
        step("create for readers", () -> {
            List<ACL> list = acl(31, "auth", "");
            list.add(new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE));
            zk.create("/read", data, list, CreateMode.PERSISTENT);
        });
        step("setACL", () -> zk.setACL("/read", Ids.READ_ACL_UNSAFE, 0));
        refused("setACL, not an admin any more", KeeperException.Code.NOAUTH, () -> zk.setACL("/read", Ids.OPEN_ACL_UNSAFE, -1));
        refused("setACL", KeeperException.Code.NONODE, () -> zk.setACL("/none", Ids.OPEN_ACL_UNSAFE, -1));
        refused("setACL, a wrong version", KeeperException.Code.BADVERSION, () -> zk.setACL("/own", Ids.OPEN_ACL_UNSAFE, 7));
        refused("setACL with an empty list", KeeperException.Code.INVALIDACL, () -> zk.setACL("/own", new ArrayList<>(), -1));
        ZooKeeper other = client("another session", 30_000);
        refused("getData of another's", KeeperException.Code.NOAUTH, () -> other.getData("/own", false, null));
        refused("exists of another's", KeeperException.Code.NOAUTH, () -> other.exists("/own", false));
        refused("setData of another's", KeeperException.Code.NOAUTH, () -> other.setData("/own", data, -1));
        refused("create below another's", KeeperException.Code.NOAUTH, () -> other.create("/own/x", data, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        refused("getChildren of another's", KeeperException.Code.NOAUTH, () -> other.getChildren("/own", false));
        refused("getACL of another's", KeeperException.Code.NOAUTH, () -> other.getACL("/own", null));
        step("a list with a digest in it", () -> {
            List<ACL> list = acl(31, "auth", "");
            list.add(new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE));
            zk.create("/mixed", data, list, CreateMode.PERSISTENT);
        });
        step("getACL, masked", () -> other.getACL("/mixed", new Stat()));
        refused("delete below a read-only parent", KeeperException.Code.NOAUTH, () -> {
            zk.create("/mixed/child", data, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            other.delete("/mixed/child", -1);
        });
        step("auth, as super", () -> {
            other.addAuthInfo("digest", "super:super".getBytes(StandardCharsets.UTF_8));
            settle();
        });
        step("getData of another's, as super", () -> other.getData("/own", false, new Stat()));
        step("whoAmI, as super", () -> other.whoAmI());
        step("close", other::close);
    }

    static void multis(ZooKeeper zk) throws Exception {
        byte[] data = "m".getBytes(StandardCharsets.UTF_8);
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        step("multi of every kind", () -> zk.multi(Arrays.asList(
            Op.check("/a", -1),
            Op.create("/m", data, open, CreateMode.PERSISTENT),
            Op.create("/m/s-", data, open, CreateMode.EPHEMERAL_SEQUENTIAL),
            Op.create("/m/c", data, open, CreateMode.CONTAINER),
            Op.create("/m/t", data, open, CreateMode.PERSISTENT_WITH_TTL, 100_000),
            Op.setData("/m", data, 0),
            Op.delete("/m/c", -1))));
        refused("multi, the second fails", KeeperException.Code.NODEEXISTS, () -> zk.multi(Arrays.asList(
            Op.setData("/m", data, -1), Op.create("/m", data, open, CreateMode.PERSISTENT), Op.delete("/m", -1))));
        refused("multi, a check fails", KeeperException.Code.BADVERSION, () -> zk.multi(Arrays.asList(
            Op.check("/m", 77), Op.delete("/m", -1))));
        refused("multi, a delete fails", KeeperException.Code.NOTEMPTY, () -> zk.multi(Arrays.asList(
            Op.create("/m2", data, open, CreateMode.PERSISTENT), Op.delete("/m", -1))));
        step("multi of nothing", () -> zk.multi(new ArrayList<>()));
    }

    static void watches(ZooKeeper zk) throws Exception {
        byte[] data = "w".getBytes(StandardCharsets.UTF_8);
        Watcher watcher = event -> { };
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        step("exists with a watch", () -> zk.exists("/w", watcher));
        step("it is created", () -> zk.create("/w", data, open, CreateMode.PERSISTENT));
        step("getData with a watch", () -> zk.getData("/w", watcher, null));
        step("it changes", () -> zk.setData("/w", data, -1));
        step("getChildren with a watch", () -> zk.getChildren("/w", watcher));
        step("a child comes", () -> zk.create("/w/c", data, open, CreateMode.PERSISTENT));
        step("addWatch, persistent", () -> zk.addWatch("/w", watcher, AddWatchMode.PERSISTENT));
        step("addWatch, recursive", () -> zk.addWatch("/w/c", watcher, AddWatchMode.PERSISTENT_RECURSIVE));
        step("a change below both", () -> zk.create("/w/c/d", data, open, CreateMode.PERSISTENT));
        step("and another", () -> zk.setData("/w/c", data, -1));
        step("checkWatches", () -> zk.removeWatches("/w", watcher, Watcher.WatcherType.Any, false));
        step("removeWatches, recursive", () -> zk.removeAllWatches("/w/c", Watcher.WatcherType.Any, false));
        step("getData with a watch again", () -> zk.getData("/w/c", watcher, null));
        step("removeWatches, data", () -> zk.removeAllWatches("/w/c", Watcher.WatcherType.Data, false));
        step("getData with a watch once more", () -> zk.getData("/w/c/d", watcher, null));
        step("exists with a watch beside it", () -> zk.exists("/w/c/d", watcher));
        step("it is deleted", () -> zk.delete("/w/c/d", -1));
    }

    static void quotas(ZooKeeper zk) throws Exception {
        byte[] data = "q".getBytes(StandardCharsets.UTF_8);
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        zk.create("/q", data, open, CreateMode.PERSISTENT);
        say("a quota");
        StatsTrack quota = new StatsTrack();
        quota.setCount(3);
        quota.setCountHardLimit(2);
        quota.setBytes(-1);
        quota.setByteHardLimit(10);
        zk.create("/zookeeper/quota/q", new byte[0], open, CreateMode.PERSISTENT);
        zk.create("/zookeeper/quota/q/zookeeper_limits", quota.toString().getBytes(StandardCharsets.UTF_8), open, CreateMode.PERSISTENT);
        zk.create("/zookeeper/quota/q/zookeeper_stats", new StatsTrack().toString().getBytes(StandardCharsets.UTF_8), open, CreateMode.PERSISTENT);
        step("within it", () -> zk.create("/q/1", data, open, CreateMode.PERSISTENT));
        refused("one more than it has", KeeperException.Code.QUOTAEXCEEDED, () -> zk.create("/q/2", data, open, CreateMode.PERSISTENT));
        refused("longer than it has", KeeperException.Code.QUOTAEXCEEDED, () -> zk.setData("/q/1", new byte[20], -1));
        step("what the quota counts", () -> zk.getData("/zookeeper/quota/q/zookeeper_stats", false, null));
    }

    static void others(ZooKeeper zk) throws Exception {
        byte[] data = "o".getBytes(StandardCharsets.UTF_8);
        say("reconfig of a standalone server");
        try {
            ZooKeeperAdmin admin = new ZooKeeperAdmin("127.0.0.1:" + proxy(), 30_000, event -> { });
            settle();
            admin.reconfigure("server.1=127.0.0.1:1:2", null, null, -1, new Stat());
            throw new IllegalStateException("it was not refused");
        } catch (KeeperException e) {
            line("# it was refused: " + e.code());
        }
    }

    static final int[] TYPES = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 17, 18, 19, 21, 22, 101, 103, 104, 105, 106};

    static void raw(ZooKeeper zk) throws Exception {
        Raw one = new Raw("a ping").session("");
        pings = true;
        one.ask("ping", Body.request(-2, 11));
        settle();
        pings = false;
        one.ask("setWatches: what was missed", Body.request(-8, 101).longField(1).texts("/a", "/gone").texts("/a").texts("/a"));
        one.ask("more of it", Body.request(5, 3).text("/none").bool(false));
        one.ask("setWatches2", Body.request(-8, 105).longField(1).texts("/w").texts().texts().texts("/a").texts("/c"));
        one.ask("checkWatches of what is watched", Body.request(6, 17).text("/gone-not").intField(3));
        one.ask("removeWatches of what is not watched", Body.request(7, 18).text("/not").intField(2));
        one.ask("removeWatches of a type that there is not", Body.request(8, 18).text("/not").intField(9));
        one.ask("addWatch in a mode that there is not", Body.request(9, 106).text("/a").intField(9));
        one.ask("sasl without a server for it", Body.request(10, 102).buffer("token".getBytes(StandardCharsets.UTF_8)));
        one.ask("create in a mode that there is not", Body.request(11, 1).text("/flags").buffer(new byte[0]).intField(1).intField(31).text("world").text("anyone").intField(99));
        one.ask("create with a path that is none", Body.request(12, 1).text("/slash/").buffer(new byte[0]).intField(1).intField(31).text("world").text("anyone").intField(0));
        one.ask("create with a path that is none either", Body.request(13, 1).text("slash").buffer(new byte[0]).intField(1).intField(31).text("world").text("anyone").intField(0));
        one.ask("createTTL without a time", Body.request(14, 21).text("/ttl").buffer(new byte[0]).intField(1).intField(31).text("world").text("anyone").intField(5).longField(0));
        one.ask("delete the root", Body.request(15, 2).text("/").intField(-1));
        one.ask("delete what the server keeps", Body.request(16, 2).text("/zookeeper").intField(-1));
        one.ask("getData with a path that is none", Body.request(17, 4).text("none").bool(false));
        one.ask("getData of an empty path", Body.request(18, 4).text("").bool(false));
        one.ask("a multi with a read in it", Body.request(19, 14).intField(4).bool(false).intField(-1).text("/a").bool(false).intField(-1).bool(true).intField(-1));
        one.ask("a multi that creates in a mode that there is not", Body.request(22, 14).intField(1).bool(false).intField(-1).text("/mode").buffer(new byte[0]).intField(1).intField(31).text("world").text("anyone").intField(99).intField(-1).bool(true).intField(-1));
        one.ask("a multi that creates with a time to live in a mode that there is not", Body.request(23, 14).intField(21).bool(false).intField(-1).text("/mode").buffer(new byte[0]).intField(1).intField(31).text("world").text("anyone").intField(99).longField(5).intField(-1).bool(true).intField(-1));
        one.ask("getEphemerals without a prefix", Body.request(21, 103).text(""));
        for (int type : TYPES) {
            one.ask("type " + type + " with an empty body", Body.request(100 + type, type));
        }
        one.send(Body.request(30, -11));
        one.ended();

        for (int type : new int[] {0, 13, 999, -1, -12345}) {
            Raw bad = new Raw("type " + type + " is none for clients").session("");
            bad.send(Body.request(1, type).text("/a").intField(-1));
            bad.ended();
        }
        Raw auth = new Raw("auth with an unknown scheme").session("");
        auth.send(Body.request(-4, 100).intField(0).text("nothing").buffer(new byte[] {1}));
        auth.ended();
        auth = new Raw("auth with an empty body").session("");
        auth.send(Body.request(-4, 100));
        auth.ended();
        Raw shorter = new Raw("a request shorter than its header").session("");
        shorter.send(new Body().intField(1));
        shorter.ended();
        Raw empty = new Raw("an empty frame").session("");
        empty.send(new Body());
        empty.ended();
        for (int len : new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, 0x100000}) {
            Raw bad = new Raw("a length of " + len).session("");
            bad.sink.writeInt(len);
            bad.ended();
            bad = new Raw("a length of " + len + " in place of a handshake");
            bad.sink.writeInt(len);
            bad.ended();
        }
        Raw old = new Raw("a client without read-only");
        old.handshake(0, 30_000, 0, new byte[16], false);
        old.read();
        old.ask("closes", Body.request(1, -11));
        old.ended();
        Raw timeouts = new Raw("a timeout below the least");
        timeouts.handshake(0, 1, 0, new byte[16], true);
        timeouts.read();
        timeouts.socket.close();
        timeouts = new Raw("a timeout above the most");
        timeouts.handshake(0, Integer.MAX_VALUE, 0, new byte[16], true);
        timeouts.read();
        timeouts.ask("closes", Body.request(1, -11));
        timeouts.ended();
        Raw unknown = new Raw("a session that there is not");
        unknown.handshake(0, 30_000, 0x7777, new byte[16], true);
        unknown.ended();
        // Java ends the living connection of a session that somebody names without its password;
        // ours does not. So it is asked for one that has no connection.
        Raw left = new Raw("a session left alone");
        left.handshake(0, 30_000, 0, new byte[16], true);
        long session = java.nio.ByteBuffer.wrap(left.read()).getLong(8);
        left.socket.close();
        Raw wrong = new Raw("a wrong password");
        wrong.handshake(0, 30_000, session, new byte[16], true);
        wrong.ended();
        Raw ahead = new Raw("a client that has seen more");
        ahead.handshake(Long.MAX_VALUE, 30_000, 0, new byte[16], true);
        ahead.ended();
        Raw early = new Raw("a request in place of a handshake");
        early.send(Body.request(1, 4).text("/a").bool(false));
        early.ended();
    }
}
