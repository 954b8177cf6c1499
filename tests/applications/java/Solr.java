// Solr 9 in cloud mode on an ensemble: two nodes, a collection of two shards, documents there and
// back; then the ensemble's leader is killed, and at last each node restarted.
//
//   java -cp JARS Solr CONNECT-STRING DIRECTORY
//
// Prints `kill the leader` and waits for a line on standard input.
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.apache.solr.client.solrj.SolrQuery;
import org.apache.solr.client.solrj.impl.CloudSolrClient;
import org.apache.solr.client.solrj.request.CollectionAdminRequest;
import org.apache.solr.cloud.ZkConfigSetService;
import org.apache.solr.common.SolrInputDocument;
import org.apache.solr.common.cloud.ClusterState;
import org.apache.solr.common.cloud.SolrZkClient;
import org.apache.solr.embedded.JettyConfig;
import org.apache.solr.embedded.JettySolrRunner;

public class Solr {

    static final long PATIENCE_S = 90;
    static final int DOCUMENTS = 200;

    static final String NODE = "<solr><solrcloud><str name=\"host\">127.0.0.1</str><int name=\"hostPort\">${hostPort:0}</int>"
        + "<str name=\"hostContext\">solr</str><str name=\"zkHost\">${zkHost}</str><int name=\"zkClientTimeout\">10000</int>"
        + "</solrcloud></solr>";
    static final String CONFIG = "<config><luceneMatchVersion>9.12</luceneMatchVersion><directoryFactory name=\"DirectoryFactory\""
        + " class=\"solr.NRTCachingDirectoryFactory\"/><schemaFactory class=\"ClassicIndexSchemaFactory\"/><updateHandler"
        + " class=\"solr.DirectUpdateHandler2\"><updateLog/></updateHandler><requestHandler name=\"/select\""
        + " class=\"solr.SearchHandler\"/></config>";
    static final String SCHEMA = "<schema name=\"it\" version=\"1.6\"><fieldType name=\"string\" class=\"solr.StrField\"/>"
        + "<fieldType name=\"long\" class=\"solr.LongPointField\" docValues=\"true\"/><field name=\"id\" type=\"string\""
        + " required=\"true\"/><field name=\"_version_\" type=\"long\" indexed=\"false\"/><field name=\"text\" type=\"string\"/>"
        + "<uniqueKey>id</uniqueKey></schema>";

    static JettySolrRunner node(File home) throws Exception {
        home.mkdirs();
        Files.writeString(new File(home, "solr.xml").toPath(), NODE);
        JettySolrRunner node = new JettySolrRunner(home.getPath(), JettyConfig.builder().build());
        node.start();
        return node;
    }

    static void index(CloudSolrClient client, int from) throws Exception {
        for (int n = from; n < from + DOCUMENTS; n++) {
            SolrInputDocument document = new SolrInputDocument();
            document.addField("id", Integer.toString(n));
            document.addField("text", "document");
            client.add("it", document);
        }
        client.commit("it");
    }

    /** Before, the next node must not go, nor the collection be deleted. */
    static boolean allActive(CloudSolrClient client) {
        ClusterState state = client.getClusterState();
        return state.getCollection("it").getReplicas().stream().allMatch(it -> it.isActive(state.getLiveNodes()));
    }

    static void await(CloudSolrClient client, long wanted) throws Exception {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
        while (true) {
            String what;
            try {
                long found = client.query("it", new SolrQuery("text:document")).getResults().getNumFound();
                if (found == wanted && allActive(client)) {
                    return;
                }
                what = found + " documents, and not all replicas";
            } catch (Exception e) {
                what = e.toString();
            }
            if (System.nanoTime() > until) {
                throw new IllegalStateException(wanted + " documents are wanted: " + what);
            }
            Thread.sleep(200);
        }
    }

    public static void main(String[] args) {
        Program.main("Solr", args, Solr::run);
    }

    static void run(String connect, File directory) throws Exception {
        System.setProperty("zkHost", connect);
        try (SolrZkClient zk = new SolrZkClient.Builder().withUrl(connect).withTimeout(10_000, TimeUnit.MILLISECONDS).build()) {
            ZkConfigSetService configs = new ZkConfigSetService(zk);
            configs.uploadFileToConfig("it", "solrconfig.xml", CONFIG.getBytes(StandardCharsets.UTF_8), true);
            configs.uploadFileToConfig("it", "schema.xml", SCHEMA.getBytes(StandardCharsets.UTF_8), true);
        }
        File[] homes = {new File(directory, "node-0"), new File(directory, "node-1")};
        JettySolrRunner[] nodes = {node(homes[0]), node(homes[1])};
        Program.say("two nodes");
        try (CloudSolrClient client = new CloudSolrClient.Builder(List.of(connect.split(",")), Optional.empty()).build()) {
            CollectionAdminRequest.createCollection("it", "it", 2, 2).process(client);
            client.connect();
            index(client, 0);
            await(client, DOCUMENTS);
            Program.say("a collection of two shards and two replicas, " + DOCUMENTS + " documents");
            Program.killTheLeader();
            index(client, DOCUMENTS);
            await(client, 2 * DOCUMENTS);
            Program.say("as many again on another leader");
            for (int n = 0; n < 2; n++) {
                nodes[n].stop();
                nodes[n] = node(homes[n]);
                await(client, 2 * DOCUMENTS);
                Program.say("node " + n + " restarted");
            }
            CollectionAdminRequest.deleteCollection("it").process(client);
            Program.say("the collection is gone");
        }
    }
}
