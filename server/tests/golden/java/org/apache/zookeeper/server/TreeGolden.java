// Writes what Apache ZooKeeper 3.9.5 makes of a random run of requests, for server/tests/java_tree.rs.
//
// Compile and run with ZooKeeper's jars on the class path:
//   javac -d OUT TreeGolden.java
//   java -Dzookeeper.extendedTypesEnabled=true -Dzookeeper.enforceQuota=true \
//     -cp OUT:JARS org.apache.zookeeper.server.TreeGolden SEED STEPS > tree-SEED.txt
package org.apache.zookeeper.server;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.MultiOperationRecord;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.proto.CreateRequest;
import org.apache.zookeeper.proto.CreateTTLRequest;
import org.apache.zookeeper.proto.DeleteRequest;
import org.apache.zookeeper.proto.ReconfigRequest;
import org.apache.zookeeper.proto.SetACLRequest;
import org.apache.zookeeper.proto.SetDataRequest;
import org.apache.zookeeper.server.util.SerializeUtils;
import org.apache.zookeeper.txn.CreateSessionTxn;

public class TreeGolden {

    static final long EXPIRED = 0x100000000000004L;
    static final long MOVED = 0x100000000000005L;
    static PrintStream out;
    static Random random;
    static Map<Long, Integer> sessions = new HashMap<>();

    static class Tracker implements SessionTracker {
        public long createSession(int timeout) { return 1; }
        public boolean trackSession(long id, int to) { return true; }
        public boolean commitSession(long id, int to) { sessions.put(id, to); return true; }
        public boolean touchSession(long id, int to) { return true; }
        public void setSessionClosing(long id) { }
        public void shutdown() { }
        public void removeSession(long id) { sessions.remove(id); }
        public boolean isTrackingSession(long id) { return true; }
        public void checkSession(long id, Object owner)
            throws KeeperException.SessionExpiredException, KeeperException.SessionMovedException {
            if (id == EXPIRED) {
                throw new KeeperException.SessionExpiredException();
            }
            if (id == MOVED) {
                throw new KeeperException.SessionMovedException();
            }
        }
        public void checkGlobalSession(long id, Object owner)
            throws KeeperException.SessionExpiredException, KeeperException.SessionMovedException {
            checkSession(id, owner);
        }
        public void setOwner(long id, Object owner) { }
        public void dumpSessions(PrintWriter writer) { }
        public Map<Long, Set<Long>> getSessionExpiryMap() { return Collections.emptyMap(); }
        public long getLocalSessionCount() { return 0; }
        public boolean isLocalSessionsEnabled() { return false; }
        public Set<Long> globalSessions() { return Collections.emptySet(); }
        public Set<Long> localSessions() { return Collections.emptySet(); }
    }

    static class Ear implements Watcher {
        final int number;
        Ear(int number) { this.number = number; }
        public void process(WatchedEvent e) {
            heard.add("E " + number + " " + e.getType().getIntValue() + " " + hex(e.getPath()) + " " + e.getZxid());
        }
    }

    static List<String> heard = new ArrayList<>();

    static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder(".");
        for (byte b : bytes) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }

    static String hex(String text) {
        return hex(text.getBytes(StandardCharsets.UTF_8));
    }

    static byte[] bytes(Record record) throws Exception {
        ByteArrayOutputStream stream = new ByteArrayOutputStream();
        record.serialize(BinaryOutputArchive.getArchive(stream), "r");
        return stream.toByteArray();
    }

    @SafeVarargs
    static <T> T one(T... of) {
        return of[random.nextInt(of.length)];
    }

    static String path() {
        if (random.nextInt(25) == 0) {
            return one("", "a", "/a/", "//", "/a//b", "/a/./b", "/..", "/\u0001", "/\u00e9", "/a/\ud83d\ude00",
                "/a\u0000b", "/zookeeper", "/zookeeper/config", "/zookeeper/quota", "/zookeeper/x");
        }
        if (random.nextInt(20) == 0) {
            return one("/zookeeper/quota/a", "/zookeeper/quota/a/zookeeper_limits", "/zookeeper/quota/a/zookeeper_stats");
        }
        String path = "/" + one("a", "b", "c");
        if (random.nextInt(3) > 0) {
            path += "/" + one("x", "y", "z");
            if (random.nextInt(3) == 0) {
                path += "/" + one("k", "l");
            }
        }
        return path;
    }

    static byte[] data(String path) {
        if (path.endsWith("zookeeper_limits")) {
            return one("count=4,bytes=-1=;byteHardLimit=-1;countHardLimit=5",
                "count=-1,bytes=50=;byteHardLimit=60;countHardLimit=-1", "count=2,bytes=2").getBytes();
        }
        if (path.endsWith("zookeeper_stats")) {
            return "count=0,bytes=0".getBytes();
        }
        if (random.nextInt(6) == 0) {
            return random.nextBoolean() ? null : new byte[0];
        }
        byte[] data = new byte[random.nextInt(12)];
        random.nextBytes(data);
        return data;
    }

    static ACL acl(int perms, String scheme, String id) {
        return new ACL(perms, new Id(scheme, id));
    }

    static List<ACL> acls() {
        switch (random.nextInt(14)) {
        case 0: return Arrays.asList(acl(31, "digest", "u1:p"));
        case 1: return Arrays.asList(acl(31, "auth", ""));
        case 2: return Arrays.asList(acl(1, "world", "anyone"), acl(30, "digest", "u1:p"), acl(1, "world", "anyone"));
        case 3: return Arrays.asList(acl(31, "ip", one("127.0.0.1", "127.0.0.0/8", "10.0.0.1", "::1", "1.2.3", "fe80::/10", "1.2.3.4/33")));
        case 4: return random.nextBoolean() ? new ArrayList<>() : null;
        case 5: return Arrays.asList(acl(31, one("world", "digest", "nope", "super"), one("x", "a:b:c", ":", "u:", "")));
        default: return Arrays.asList(acl(31, "world", "anyone"));
        }
    }

    static List<Id> ids() {
        List<Id> ids = new ArrayList<>();
        ids.add(new Id("ip", one("127.0.0.1", "127.0.0.1", "127.9.9.9", "0:0:0:0:0:0:0:1")));
        if (random.nextInt(3) == 0) {
            ids.add(new Id("digest", "u1:p"));
        }
        if (random.nextInt(15) == 0) {
            ids.add(new Id("super", ""));
        }
        return ids;
    }

    static int version() {
        return random.nextInt(4) == 0 ? random.nextInt(3) : -1;
    }

    static int flags() {
        return one(0, 0, 0, 1, 1, 2, 3);
    }

    static Op op() {
        String path = path();
        // A list that is null makes 3.9.5 throw while it reads a multi; no client sends one.
        List<ACL> acls = acls();
        acls = acls == null ? new ArrayList<>() : acls;
        switch (random.nextInt(8)) {
        case 0: case 1: case 2: return Op.create(path, data(path), acls, flags());
        case 3: return Op.delete(path, version());
        case 4: case 5: return Op.setData(path, data(path), version());
        case 6: return Op.create(path, data(path), acls, CreateMode.CONTAINER);
        default: return Op.check(path, version());
        }
    }

    public static void main(String[] args) throws Exception {
        random = new Random(Long.parseLong(args[0]));
        int steps = Integer.parseInt(args[1]);
        out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false, "UTF-8");
        File dir = Files.createTempDirectory("tree-golden").toFile();
        ZooKeeperServer server = new ZooKeeperServer(dir, dir, 3000);
        server.setZKDatabase(new ZKDatabase(server.getTxnLogFactory()));
        server.sessionTracker = new Tracker();
        ArrayDeque<Request> queue = new ArrayDeque<>();
        PrepRequestProcessor prep = new PrepRequestProcessor(server, new RequestProcessor() {
            public void processRequest(Request request) { queue.add(request); }
            public void shutdown() { }
        });
        DataTree tree = server.getZKDatabase().getDataTree();
        Ear[] ears = {new Ear(1), new Ear(2), new Ear(3)};
        out.println("S " + System.getProperty("zookeeper.extendedTypesEnabled", "false")
            + " " + System.getProperty("zookeeper.enforceQuota", "false"));
        int xid = 0;
        for (int step = 0; step < steps; step++) {
            String path = path();
            long session = 0x100000000000000L + 1 + random.nextInt(20) % 6;
            if (session == 0x100000000000006L) {
                session = 0x100000000000001L;
            }
            int type;
            byte[] body;
            // Where 3.9.5 sees something else while changes are on their way than once they are
            // applied (lists, the root under two names, the counts of a closed session), nothing is
            // on its way.
            boolean alone = path.equals("/") || path.startsWith("/zookeeper");
            switch (random.nextInt(17)) {
            case 0: case 1: case 2: case 3:
                type = one(OpCode.create, OpCode.create2);
                body = bytes(new CreateRequest(path, data(path), acls(), random.nextInt(30) == 0 ? 9 : flags()));
                break;
            case 4:
                type = OpCode.createContainer;
                body = bytes(new CreateRequest(path, data(path), acls(), 4));
                break;
            case 5:
                type = OpCode.createTTL;
                body = bytes(new CreateTTLRequest(path, data(path), acls(), one(5, 5, 6), one(1L, 5000L, 0L, -1L, 0xffffffffffL, 0x10000000000L)));
                break;
            case 6: case 7: case 8:
                type = OpCode.delete;
                body = bytes(new DeleteRequest(path, version()));
                break;
            case 9: case 10: case 11:
                type = OpCode.setData;
                if (random.nextInt(12) == 0) {
                    path = "/";
                    alone = true;
                }
                body = bytes(new SetDataRequest(path, data(path), version()));
                break;
            case 12:
                type = OpCode.setACL;
                alone = true;
                body = bytes(new SetACLRequest(path, acls(), version()));
                break;
            case 13: case 14: {
                type = OpCode.multi;
                List<Op> ops = new ArrayList<>();
                for (int i = random.nextInt(5); i >= 0; i--) {
                    ops.add(op());
                }
                alone = true;
                body = bytes(new MultiOperationRecord(ops));
                break;
            }
            case 15:
                type = OpCode.createSession;
                body = bytes(new CreateSessionTxn(1000 * random.nextInt(9)));
                break;
            default:
                if (random.nextInt(4) == 0) {
                    type = OpCode.reconfig;
                    body = bytes(new ReconfigRequest(null, "3", null, -1));
                } else if (random.nextInt(3) == 0) {
                    type = OpCode.deleteContainer;
                    session = 0;
                    body = bytes(new org.apache.zookeeper.txn.DeleteTxn(path));
                } else {
                    type = OpCode.closeSession;
                    alone = true;
                    body = new byte[0];
                }
            }
            while (alone && !queue.isEmpty()) {
                apply(server, queue.poll());
            }
            Request request = new Request(null, session, ++xid, type, RequestRecord.fromBytes(body), ids());
            StringBuilder names = new StringBuilder();
            for (Id id : request.authInfo) {
                names.append(' ').append(id.getScheme()).append('|').append(id.getId());
            }
            prep.pRequest(request);
            out.println("R " + session + " " + xid + " " + type + " " + request.getHdr().getZxid() + " "
                + request.getHdr().getTime() + " " + hex(body) + names);
            out.println("T " + hex(request.getSerializeData()));
            if (random.nextInt(3) == 0) {
                Ear ear = one(ears);
                String watched = random.nextInt(6) == 0 ? "/" : path();
                int how = random.nextInt(5);
                out.println("W " + ear.number + " " + how + " " + hex(watched));
                try {
                    switch (how) {
                    case 0: tree.statNode(watched, ear); break;
                    case 1: tree.getChildren(watched, null, ear); break;
                    case 2: tree.addWatch(watched, ear, 0); break;
                    case 3: tree.addWatch(watched, ear, 1); break;
                    default: tree.removeWatch(watched, one(Watcher.WatcherType.Any), ear);
                    }
                } catch (KeeperException e) {
                    // Nothing is there to be watched.
                }
            }
            while (!queue.isEmpty() && (alone || random.nextInt(3) > 0)) {
                apply(server, queue.poll());
            }
        }
        while (!queue.isEmpty()) {
            apply(server, queue.poll());
        }
        ByteArrayOutputStream stream = new ByteArrayOutputStream();
        SerializeUtils.serializeSnapshot(tree, BinaryOutputArchive.getArchive(stream), sessions);
        out.println("P " + tree.cachedApproximateDataSize() + " " + tree.getNodeCount() + " " + hex(stream.toByteArray()));
        out.flush();
        System.exit(0);
    }

    static void apply(ZooKeeperServer server, Request request) throws Exception {
        heard.clear();
        DataTree.ProcessTxnResult result = server.processTxn(request);
        DataTree tree = server.getZKDatabase().getDataTree();
        StringBuilder line = new StringBuilder("A " + result.zxid + " " + result.err + " " + tree.getTreeDigest());
        line.append(' ').append(result.stat == null ? "-" : hex(bytes(result.stat)));
        line.append(' ').append(result.path == null ? "-" : hex(result.path));
        if (result.multiResult != null) {
            for (DataTree.ProcessTxnResult part : result.multiResult) {
                line.append(' ').append(part.type).append(',').append(part.err);
            }
        }
        out.println(line);
        Collections.sort(heard);
        for (String event : heard) {
            out.println(event);
        }
    }
}
