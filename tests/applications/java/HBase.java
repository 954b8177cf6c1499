// HBase 2.6 on an ensemble: a master and two region servers, a table written and read; then the
// ensemble's leader is killed, and at last a region server leaves.
//
//   java -cp JARS HBase CONNECT-STRING DIRECTORY
//
// Prints `kill the leader` and waits for a line on standard input.
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.LocalHBaseCluster;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptorBuilder;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.Result;
import org.apache.hadoop.hbase.client.ResultScanner;
import org.apache.hadoop.hbase.client.Scan;
import org.apache.hadoop.hbase.client.Table;
import org.apache.hadoop.hbase.client.TableDescriptorBuilder;
import org.apache.hadoop.hbase.master.HMaster;
import org.apache.hadoop.hbase.regionserver.HRegionServer;
import org.apache.hadoop.hbase.util.Bytes;

public class HBase {

    static final long PATIENCE_S = 120;
    static final int ROWS = 200;
    static final byte[] FAMILY = Bytes.toBytes("f");

    interface Condition {
        boolean holds() throws Exception;
    }

    static void await(String what, Condition condition) throws Exception {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
        Exception last = null;
        while (true) {
            try {
                if (condition.holds()) {
                    return;
                }
            } catch (Exception e) {
                last = e;
            }
            if (System.nanoTime() > until) {
                throw new IllegalStateException("waited in vain until " + what, last);
            }
            Thread.sleep(200);
        }
    }

    static Configuration configuration(String connect, File directory) {
        Configuration config = HBaseConfiguration.create();
        config.set("hbase.cluster.distributed", "true");
        config.set("hbase.zookeeper.quorum", connect);
        config.set("hbase.rootdir", directory.toURI().toString());
        config.set("hbase.tmp.dir", new File(directory, "tmp").getPath());
        // On a file system that does not promise to keep what is flushed.
        config.set("hbase.unsafe.stream.capability.enforce", "false");
        config.set("hbase.wal.provider", "filesystem");
        config.set("zookeeper.session.timeout", "10000");
        for (String port : new String[] {"hbase.master.port", "hbase.regionserver.port"}) {
            config.set(port, "0");
        }
        for (String port : new String[] {"hbase.master.info.port", "hbase.regionserver.info.port"}) {
            config.set(port, "-1");
        }
        return config;
    }

    static void write(Connection connection, TableName name, int from) throws Exception {
        try (Table table = connection.getTable(name)) {
            List<Put> puts = new ArrayList<>();
            for (int n = from; n < from + ROWS; n++) {
                puts.add(new Put(Bytes.toBytes(String.format("%06d", n))).addColumn(FAMILY, FAMILY, Bytes.toBytes(n)));
            }
            table.put(puts);
        }
    }

    static int count(Connection connection, TableName name) throws Exception {
        int rows = 0;
        try (Table table = connection.getTable(name); ResultScanner scanner = table.getScanner(new Scan())) {
            for (Result ignored : scanner) {
                rows++;
            }
        }
        return rows;
    }

    static void expect(Connection connection, TableName name, int rows) throws Exception {
        int found = count(connection, name);
        if (found != rows) {
            throw new IllegalStateException(found + " rows of " + name + ", not " + rows);
        }
    }

    static TableName create(Connection connection, String name) throws Exception {
        TableName table = TableName.valueOf(name);
        try (Admin admin = connection.getAdmin()) {
            byte[][] splits = {Bytes.toBytes("000100")};
            admin.createTable(TableDescriptorBuilder.newBuilder(table).setColumnFamily(ColumnFamilyDescriptorBuilder.of(FAMILY)).build(), splits);
        }
        return table;
    }

    public static void main(String[] args) {
        Program.main("HBase", args, HBase::run);
    }

    static void run(String connect, File directory) throws Exception {
        Configuration config = configuration(connect, directory);
        LocalHBaseCluster cluster = new LocalHBaseCluster(config, 1, 2, HMaster.class, HRegionServer.class);
        cluster.startup();
        await("the master serves", () -> cluster.getActiveMaster() != null && cluster.getActiveMaster().isInitialized());
        Program.say("a master and two region servers");
        // Not closed: it ends with the program.
        Connection connection = ConnectionFactory.createConnection(config);
        TableName first = create(connection, "first");
        write(connection, first, 0);
        expect(connection, first, ROWS);
        Program.say("a table of two regions, " + ROWS + " rows there and back");
        Program.killTheLeader();
        write(connection, first, ROWS);
        expect(connection, first, 2 * ROWS);
        TableName second = create(connection, "second");
        write(connection, second, 0);
        expect(connection, second, ROWS);
        Program.say("all of it again on another leader");
        // Stopped, not killed: on a local file system its log would be lost with it. Its node in
        // the ensemble goes with its session, and the master moves its regions.
        cluster.getRegionServer(1).stop("the test is done with it");
        await("one region server is left", () -> cluster.getActiveMaster().getServerManager().getOnlineServersList().size() == 1);
        await("all rows are served again", () -> count(connection, first) == 2 * ROWS && count(connection, second) == ROWS);
        Program.say("a region server has left, all rows are there");
        try (Admin admin = connection.getAdmin()) {
            admin.disableTable(first);
            admin.deleteTable(first);
        }
        Program.say("a table is gone");
    }
}
