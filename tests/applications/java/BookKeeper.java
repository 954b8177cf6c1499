// BookKeeper on an ensemble: three bookies that find each other through it, a ledger written while
// the ensemble's leader is killed, one left open and recovered by another client, and a bookie that
// leaves and comes back.
//
//   java -cp JARS BookKeeper CONNECT-STRING DIRECTORY
//
// Prints `kill the leader` and waits for a line on standard input.
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import org.apache.bookkeeper.client.BookKeeperAdmin;
import org.apache.bookkeeper.client.api.DigestType;
import org.apache.bookkeeper.client.api.LedgerEntries;
import org.apache.bookkeeper.client.api.ReadHandle;
import org.apache.bookkeeper.client.api.WriteHandle;
import org.apache.bookkeeper.common.component.LifecycleComponentStack;
import org.apache.bookkeeper.conf.ClientConfiguration;
import org.apache.bookkeeper.conf.ServerConfiguration;
import org.apache.bookkeeper.server.EmbeddedServer;
import org.apache.bookkeeper.server.conf.BookieConfiguration;

public class BookKeeper {

    static final byte[] PASSWORD = "password".getBytes(StandardCharsets.UTF_8);
    static final long PATIENCE_S = 60;
    static String metadata;

    static ServerConfiguration configuration(int id, int port, File directory) {
        ServerConfiguration config = new ServerConfiguration();
        config.setMetadataServiceUri(metadata);
        config.setZkTimeout(10_000);
        config.setAllowLoopback(true);
        config.setAdvertisedAddress("127.0.0.1");
        config.setBookiePort(port);
        File dir = new File(directory, "bookie-" + id);
        config.setJournalDirName(new File(dir, "journal").getPath());
        config.setLedgerDirNames(new String[] {new File(dir, "ledgers").getPath()});
        config.setDiskUsageThreshold(0.99f);
        config.setDiskUsageWarnThreshold(0.98f);
        config.setAutoRecoveryDaemonEnabled(false);
        return config;
    }

    static LifecycleComponentStack bookie(ServerConfiguration config) throws Exception {
        LifecycleComponentStack bookie = EmbeddedServer.builder(new BookieConfiguration(config)).build().getLifecycleComponentStack();
        bookie.start();
        return bookie;
    }

    static org.apache.bookkeeper.client.BookKeeper client() throws Exception {
        ClientConfiguration config = new ClientConfiguration();
        config.setMetadataServiceUri(metadata);
        config.setZkTimeout(10_000);
        return new org.apache.bookkeeper.client.BookKeeper(config);
    }

    static WriteHandle ledger(org.apache.bookkeeper.client.api.BookKeeper client, int bookies) throws Exception {
        return client.newCreateLedgerOp().withEnsembleSize(bookies).withWriteQuorumSize(2).withAckQuorumSize(2)
            .withDigestType(DigestType.CRC32C).withPassword(PASSWORD).execute().get(PATIENCE_S, TimeUnit.SECONDS);
    }

    static void write(WriteHandle ledger, int from, int to) throws Exception {
        for (int n = from; n < to; n++) {
            ledger.append(("entry " + n).getBytes(StandardCharsets.UTF_8));
        }
    }

    static void read(org.apache.bookkeeper.client.api.BookKeeper client, long id, int count) throws Exception {
        try (ReadHandle ledger = client.newOpenLedgerOp().withLedgerId(id).withRecovery(true).withPassword(PASSWORD)
            .withDigestType(DigestType.CRC32C).execute().get(PATIENCE_S, TimeUnit.SECONDS)) {
            if (ledger.getLastAddConfirmed() != count - 1) {
                throw new IllegalStateException("the last entry is " + ledger.getLastAddConfirmed());
            }
            try (LedgerEntries entries = ledger.read(0, count - 1)) {
                entries.forEach(entry -> {
                    String text = new String(entry.getEntryBytes(), StandardCharsets.UTF_8);
                    if (!text.equals("entry " + entry.getEntryId())) {
                        throw new IllegalStateException(text + " stands at " + entry.getEntryId());
                    }
                });
            }
        }
    }

    public static void main(String[] args) {
        Program.main("BookKeeper", args, BookKeeper::run);
    }

    static void run(String connect, File directory) throws Exception {
        metadata = "zk+hierarchical://" + connect.replace(',', ';') + "/ledgers";
        ServerConfiguration[] configs = new ServerConfiguration[3];
        LifecycleComponentStack[] bookies = new LifecycleComponentStack[3];
        for (int id = 0; id < 3; id++) {
            configs[id] = configuration(id, Program.freePort(), directory);
        }
        if (!BookKeeperAdmin.initNewCluster(configs[0])) {
            throw new IllegalStateException("the cluster's nodes could not be made");
        }
        for (int id = 0; id < 3; id++) {
            bookies[id] = bookie(configs[id]);
        }
        Program.say("three bookies");
        try (org.apache.bookkeeper.client.BookKeeper one = client(); org.apache.bookkeeper.client.BookKeeper two = client()) {
            WriteHandle first = ledger(one, 3);
            WriteHandle open = ledger(one, 3);
            write(first, 0, 200);
            write(open, 0, 100);
            Program.say("two ledgers");

            Program.killTheLeader();
            write(first, 200, 400);
            first.close();
            read(two, first.getId(), 400);
            Program.say("a ledger goes on, is closed and read");
            read(two, open.getId(), 100);
            try {
                open.append("too late".getBytes(StandardCharsets.UTF_8));
                throw new IllegalStateException("a writer that was fenced off goes on");
            } catch (org.apache.bookkeeper.client.api.BKException e) {
                Program.say("an open ledger is recovered, its writer fenced off (" + e.getMessage() + ")");
            }
            bookies[2].close();
            WriteHandle without = ledger(one, 2);
            write(without, 0, 100);
            without.close();
            read(two, without.getId(), 100);
            Program.say("a ledger without one bookie");
            bookies[2] = bookie(configs[2]);
            WriteHandle last = null;
            long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
            while (last == null) {
                try {
                    last = ledger(one, 3);
                } catch (java.util.concurrent.ExecutionException e) {
                    if (System.nanoTime() > until) {
                        throw e;
                    }
                    Thread.sleep(200);
                }
            }
            write(last, 0, 100);
            last.close();
            read(two, last.getId(), 100);
            one.deleteLedger(first.getId());
            Program.say("it is back, and a ledger of three again");
        }
    }
}
