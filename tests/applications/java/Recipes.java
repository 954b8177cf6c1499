// Curator's recipes against an ensemble: each is used as its documentation says, by two or three
// clients, and what it promises is looked at. All run before the leader is killed and again after;
// some are held while it happens.
//
//   java -cp JARS Recipes CONNECT-STRING
//
// Prints a line a recipe. Prints `kill the leader` and waits for a line on standard input while a
// counter under a lock goes on counting.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorOp;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryForever;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;

public class Recipes {

    static final long PATIENCE_MS = 30_000;
    static final ExecutorService threads = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    });
    static String connect;

    interface Step {
        void run(CuratorFramework one, CuratorFramework two, String root) throws Exception;
    }

    static CuratorFramework client() {
        CuratorFramework client = CuratorFrameworkFactory.newClient(connect, 15_000, 15_000, new RetryForever(100));
        client.start();
        return client;
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    static void await(String what, Callable<Boolean> holds) throws Exception {
        long until = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
        while (!holds.call()) {
            check(System.nanoTime() < until, "waited in vain: " + what);
            Thread.sleep(10);
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Twenty turns each, never two at once. */
    static void exclusive(Callable<AutoCloseable> first, Callable<AutoCloseable> second) throws Exception {
        AtomicInteger inside = new AtomicInteger();
        List<Future<?>> turns = new ArrayList<>();
        for (Callable<AutoCloseable> lock : Arrays.asList(first, second)) {
            turns.add(threads.submit(() -> {
                for (int turn = 0; turn < 20; turn++) {
                    try (AutoCloseable held = lock.call()) {
                        check(inside.incrementAndGet() == 1, "two hold it at once");
                        inside.decrementAndGet();
                    }
                }
                return null;
            }));
        }
        for (Future<?> turn : turns) {
            turn.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
        }
    }

    static AutoCloseable held(org.apache.curator.framework.recipes.locks.InterProcessLock lock) throws Exception {
        lock.acquire();
        return lock::release;
    }

    static void mutex(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessMutex first = new InterProcessMutex(one, root);
        InterProcessMutex second = new InterProcessMutex(two, root);
        exclusive(() -> held(first), () -> held(second));
        first.acquire();
        first.acquire();
        check(!second.acquire(50, TimeUnit.MILLISECONDS), "taken while held twice");
        first.release();
        check(!second.acquire(50, TimeUnit.MILLISECONDS), "taken while held once");
        first.release();
        check(second.acquire(PATIENCE_MS, TimeUnit.MILLISECONDS), "not taken when free");
        second.release();
    }

    static void semaphoreMutex(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessSemaphoreMutex first = new InterProcessSemaphoreMutex(one, root);
        InterProcessSemaphoreMutex second = new InterProcessSemaphoreMutex(two, root);
        exclusive(() -> held(first), () -> held(second));
    }

    static void readWriteLock(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessReadWriteLock first = new InterProcessReadWriteLock(one, root);
        InterProcessReadWriteLock second = new InterProcessReadWriteLock(two, root);
        exclusive(() -> held(first.writeLock()), () -> held(second.writeLock()));
        first.readLock().acquire();
        check(second.readLock().acquire(PATIENCE_MS, TimeUnit.MILLISECONDS), "two readers at once");
        check(!threads.submit(() -> second.writeLock().acquire(50, TimeUnit.MILLISECONDS)).get(), "a writer beside readers");
        first.readLock().release();
        second.readLock().release();
    }

    static void multiLock(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessMultiLock both = new InterProcessMultiLock(one, Arrays.asList(root + "/a", root + "/b"));
        InterProcessMutex second = new InterProcessMutex(two, root + "/b");
        exclusive(() -> held(both), () -> held(second));
    }

    static void semaphore(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        InterProcessSemaphoreV2 first = new InterProcessSemaphoreV2(one, root, 3);
        InterProcessSemaphoreV2 second = new InterProcessSemaphoreV2(two, root, 3);
        Collection<Lease> leases = first.acquire(2);
        Lease third = second.acquire(PATIENCE_MS, TimeUnit.MILLISECONDS);
        check(third != null, "the third lease is free");
        check(second.acquire(50, TimeUnit.MILLISECONDS) == null, "a fourth lease of three");
        first.returnAll(leases);
        Lease again = second.acquire(PATIENCE_MS, TimeUnit.MILLISECONDS);
        check(again != null, "a lease that came back");
        second.returnLease(third);
        second.returnLease(again);
    }

    static void leaderLatch(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        LeaderLatch first = new LeaderLatch(one, root, "first");
        LeaderLatch second = new LeaderLatch(two, root, "second");
        first.start();
        check(first.await(PATIENCE_MS, TimeUnit.MILLISECONDS), "alone, and no leader");
        second.start();
        await("both take part", () -> first.getParticipants().size() == 2);
        check(!second.hasLeadership(), "two lead");
        check(second.getLeader().getId().equals("first"), "another leads");
        first.close();
        check(second.await(PATIENCE_MS, TimeUnit.MILLISECONDS), "nobody follows");
        second.close();
    }

    static void leaderSelector(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        AtomicInteger leading = new AtomicInteger();
        CountDownLatch terms = new CountDownLatch(6);
        List<LeaderSelector> all = new ArrayList<>();
        for (CuratorFramework client : Arrays.asList(one, two)) {
            LeaderSelector selector = new LeaderSelector(client, root, new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework leader) throws Exception {
                    check(leading.incrementAndGet() == 1, "two lead");
                    Thread.sleep(5);
                    leading.decrementAndGet();
                    terms.countDown();
                }
            });
            selector.autoRequeue();
            selector.start();
            all.add(selector);
        }
        check(terms.await(PATIENCE_MS, TimeUnit.MILLISECONDS), "six terms");
        all.forEach(LeaderSelector::close);
    }

    static void curatorCache(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        one.create().creatingParentsIfNeeded().forPath(root + "/old", bytes("old"));
        Set<String> seen = ConcurrentHashMap.newKeySet();
        CountDownLatch ready = new CountDownLatch(1);
        CuratorCache cache = CuratorCache.build(one, root);
        cache.listenable().addListener(CuratorCacheListener.builder()
            .forInitialized(ready::countDown)
            .forAll((type, before, after) -> seen.add(type + " " + (after == null ? before : after).getPath().substring(root.length())))
            .build());
        cache.start();
        check(ready.await(PATIENCE_MS, TimeUnit.MILLISECONDS), "ready");
        two.create().forPath(root + "/new", bytes("1"));
        // The cache reads a node once it hears of it: changed before that, it would be created as it is then.
        await("the creation", () -> seen.contains("NODE_CREATED /new"));
        two.setData().forPath(root + "/new", bytes("2"));
        two.delete().forPath(root + "/old");
        await("all events", () -> seen.containsAll(Arrays.asList("NODE_CREATED /old", "NODE_CREATED /new", "NODE_CHANGED /new", "NODE_DELETED /old")));
        check(cache.get(root + "/new").filter(it -> new String(it.getData()).equals("2")).isPresent(), "the newest data");
        check(!cache.get(root + "/old").isPresent(), "what is gone");
        cache.close();
    }

    @SuppressWarnings("deprecation")
    static void pathChildrenCache(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        one.create().creatingParentsIfNeeded().forPath(root + "/a", bytes("a"));
        PathChildrenCache cache = new PathChildrenCache(one, root, true);
        AtomicInteger events = new AtomicInteger();
        cache.getListenable().addListener((client, event) -> events.incrementAndGet());
        cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
        check(cache.getCurrentData().size() == 1, "what was there");
        for (int n = 0; n < 20; n++) {
            two.create().forPath(root + "/n" + n, bytes("x"));
        }
        await("the new ones", () -> cache.getCurrentData().size() == 21);
        two.delete().forPath(root + "/a");
        await("one gone", () -> cache.getCurrentData().size() == 20);
        await("events", () -> events.get() >= 21);
        cache.close();
    }

    @SuppressWarnings("deprecation")
    static void treeCache(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        TreeCache cache = new TreeCache(one, root);
        cache.start();
        two.create().creatingParentsIfNeeded().forPath(root + "/a/b/c", bytes("deep"));
        await("the deep one", () -> cache.getCurrentData(root + "/a/b/c") != null);
        two.setData().forPath(root + "/a/b/c", bytes("deeper"));
        await("its change", () -> new String(cache.getCurrentData(root + "/a/b/c").getData()).equals("deeper"));
        two.delete().deletingChildrenIfNeeded().forPath(root + "/a");
        await("its end", () -> cache.getCurrentData(root + "/a") == null);
        cache.close();
    }

    static void barrier(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        DistributedBarrier first = new DistributedBarrier(one, root);
        DistributedBarrier second = new DistributedBarrier(two, root);
        first.setBarrier();
        check(!second.waitOnBarrier(50, TimeUnit.MILLISECONDS), "through a barrier that stands");
        Future<Boolean> waits = threads.submit(() -> second.waitOnBarrier(PATIENCE_MS, TimeUnit.MILLISECONDS));
        first.removeBarrier();
        check(waits.get(), "a barrier that is gone");
    }

    static void doubleBarrier(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        AtomicInteger inside = new AtomicInteger();
        List<Future<Boolean>> members = new ArrayList<>();
        for (CuratorFramework client : Arrays.asList(one, two, one)) {
            DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(client, root, 3);
            members.add(threads.submit(() -> {
                boolean entered = barrier.enter(PATIENCE_MS, TimeUnit.MILLISECONDS);
                inside.incrementAndGet();
                boolean left = barrier.leave(PATIENCE_MS, TimeUnit.MILLISECONDS);
                return entered && left && inside.get() == 3;
            }));
        }
        for (Future<Boolean> member : members) {
            check(member.get(), "all in, all out");
        }
    }

    static void counters(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        SharedCount first = new SharedCount(one, root + "/shared", 7);
        SharedCount second = new SharedCount(two, root + "/shared", 7);
        first.start();
        second.start();
        check(first.trySetCount(first.getVersionedValue(), 8), "set");
        await("the other sees it", () -> second.getCount() == 8);
        first.close();
        second.close();
        List<Future<?>> adders = new ArrayList<>();
        for (CuratorFramework client : Arrays.asList(one, two)) {
            DistributedAtomicLong count = new DistributedAtomicLong(client, root + "/atomic", new RetryForever(5));
            adders.add(threads.submit(() -> {
                for (int n = 0; n < 25; n++) {
                    check(count.increment().succeeded(), "an increment");
                }
                return null;
            }));
        }
        for (Future<?> adder : adders) {
            adder.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
        }
        DistributedAtomicLong sum = new DistributedAtomicLong(one, root + "/atomic", new RetryForever(5));
        // This one's member may be a moment behind what the other one's has acknowledged.
        await("the sum of all increments", () -> {
            AtomicValue<Long> seen = sum.get();
            return seen.succeeded() && seen.postValue() == 50;
        });
    }

    static void discovery(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        ServiceInstance<Void> instance = ServiceInstance.<Void>builder().name("service").address("127.0.0.1").port(1).build();
        ServiceDiscovery<Void> here = ServiceDiscoveryBuilder.builder(Void.class).client(one).basePath(root).thisInstance(instance).build();
        here.start();
        ServiceDiscovery<Void> there = ServiceDiscoveryBuilder.builder(Void.class).client(two).basePath(root).build();
        there.start();
        ServiceProvider<Void> provider = there.serviceProviderBuilder().serviceName("service").build();
        provider.start();
        await("it is found", () -> provider.getInstance() != null && provider.getInstance().getPort() == 1);
        here.unregisterService(instance);
        await("it is gone", () -> provider.getInstance() == null);
        provider.close();
        there.close();
        here.close();
    }

    static void groupMember(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        GroupMember first = new GroupMember(one, root, "first", bytes("1"));
        GroupMember second = new GroupMember(two, root, "second", bytes("2"));
        first.start();
        second.start();
        await("both are members", () -> second.getCurrentMembers().keySet().equals(new TreeSet<>(Arrays.asList("first", "second"))));
        first.close();
        await("one is", () -> second.getCurrentMembers().size() == 1);
        second.close();
    }

    static void nodes(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        PersistentNode node = new PersistentNode(one, CreateMode.EPHEMERAL, false, root + "/lasting", bytes("x"));
        node.start();
        check(node.waitForInitialCreate(PATIENCE_MS, TimeUnit.MILLISECONDS), "made");
        two.delete().forPath(root + "/lasting");
        await("made again", () -> two.checkExists().forPath(root + "/lasting") != null);
        node.close();
        PersistentTtlNode ttl = new PersistentTtlNode(one, root + "/ttl", 60_000, bytes("x"));
        ttl.start();
        check(ttl.waitForInitialCreate(PATIENCE_MS, TimeUnit.MILLISECONDS), "made with a time to live");
        ttl.close();
        AtomicInteger events = new AtomicInteger();
        PersistentWatcher watcher = new PersistentWatcher(one, root, true);
        watcher.getListenable().addListener(event -> events.incrementAndGet());
        watcher.start();
        await("it is watched", () -> {
            two.create().orSetData().creatingParentsIfNeeded().forPath(root + "/watched", bytes("x"));
            return events.get() >= 3;
        });
        watcher.close();
        check(one.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath(root + "/p-").contains("_c_"), "protection");
    }

    @SuppressWarnings("deprecation")
    static void queue(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        Set<String> taken = ConcurrentHashMap.newKeySet();
        QueueSerializer<String> text = new QueueSerializer<String>() {
            public byte[] serialize(String item) {
                return bytes(item);
            }

            public String deserialize(byte[] item) {
                return new String(item, StandardCharsets.UTF_8);
            }
        };
        QueueConsumer<String> consumer = new QueueConsumer<String>() {
            public void consumeMessage(String item) {
                check(taken.add(item), "taken twice: " + item);
            }

            public void stateChanged(CuratorFramework client, ConnectionState state) {
                // The queue goes on by itself.
            }
        };
        DistributedQueue<String> in = QueueBuilder.builder(one, null, text, root).buildQueue();
        DistributedQueue<String> out = QueueBuilder.builder(two, consumer, text, root).buildQueue();
        in.start();
        out.start();
        for (int n = 0; n < 30; n++) {
            in.put("item " + n);
        }
        await("all are taken", () -> taken.size() == 30);
        in.close();
        out.close();
    }

    static void transactions(CuratorFramework one, CuratorFramework two, String root) throws Exception {
        one.create().creatingParentsIfNeeded().forPath(root, bytes("0"));
        CuratorOp make = one.transactionOp().create().forPath(root + "/a", bytes("a"));
        CuratorOp set = one.transactionOp().setData().withVersion(0).forPath(root, bytes("1"));
        check(one.transaction().forOperations(make, set).size() == 2, "both");
        try {
            CuratorOp check = two.transactionOp().check().withVersion(0).forPath(root);
            CuratorOp delete = two.transactionOp().delete().forPath(root + "/a");
            two.transaction().forOperations(delete, check);
            throw new IllegalStateException("a transaction with a wrong version");
        } catch (KeeperException.BadVersionException e) {
            check(two.checkExists().forPath(root + "/a") != null, "nothing of it was done");
        }
        List<String> children = one.getChildren().forPath(root);
        check(children.equals(Arrays.asList("a")), "children " + children);
        two.delete().guaranteed().deletingChildrenIfNeeded().forPath(root);
    }

    static final Object[][] ALL = {
        {"mutex", (Step) Recipes::mutex},
        {"semaphore mutex", (Step) Recipes::semaphoreMutex},
        {"read-write lock", (Step) Recipes::readWriteLock},
        {"multi lock", (Step) Recipes::multiLock},
        {"semaphore", (Step) Recipes::semaphore},
        {"leader latch", (Step) Recipes::leaderLatch},
        {"leader selector", (Step) Recipes::leaderSelector},
        {"CuratorCache", (Step) Recipes::curatorCache},
        {"PathChildrenCache", (Step) Recipes::pathChildrenCache},
        {"TreeCache", (Step) Recipes::treeCache},
        {"barrier", (Step) Recipes::barrier},
        {"double barrier", (Step) Recipes::doubleBarrier},
        {"counters", (Step) Recipes::counters},
        {"discovery", (Step) Recipes::discovery},
        {"group member", (Step) Recipes::groupMember},
        {"persistent nodes and watches", (Step) Recipes::nodes},
        {"queue", (Step) Recipes::queue},
        {"transactions", (Step) Recipes::transactions},
    };

    static void all(String round, CuratorFramework one, CuratorFramework two) throws Exception {
        for (int at = 0; at < ALL.length; at++) {
            long began = System.nanoTime();
            ((Step) ALL[at][1]).run(one, two, "/" + round + "/" + at);
            System.out.println(round + ": " + ALL[at][0] + ": " + (System.nanoTime() - began) / 1_000_000 + " ms");
        }
    }

    /** A counter under a lock, and a latch and a cache that are held, all through the leader's end. */
    static void through(CuratorFramework one, CuratorFramework two, Callable<Void> end) throws Exception {
        AtomicBoolean done = new AtomicBoolean();
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger turns = new AtomicInteger();
        one.create().forPath("/counted", bytes("0"));
        CuratorCache cache = CuratorCache.build(two, "/counted");
        cache.start();
        LeaderLatch latch = new LeaderLatch(one, "/through-latch", "one");
        latch.start();
        List<Future<?>> counters = new ArrayList<>();
        for (CuratorFramework client : Arrays.asList(one, two)) {
            InterProcessMutex mutex = new InterProcessMutex(client, "/through-lock");
            counters.add(threads.submit(() -> {
                while (!done.get()) {
                    mutex.acquire();
                    try {
                        check(inside.incrementAndGet() == 1, "two hold it at once");
                        int count = Integer.parseInt(new String(client.getData().forPath("/counted")));
                        client.setData().forPath("/counted", bytes(Integer.toString(count + 1)));
                        turns.incrementAndGet();
                        inside.decrementAndGet();
                    } finally {
                        mutex.release();
                    }
                }
                return null;
            }));
        }
        await("it counts", () -> turns.get() > 20);
        end.call();
        int then = turns.get();
        await("it counts on", () -> turns.get() > then + 20);
        done.set(true);
        for (Future<?> counter : counters) {
            counter.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
        }
        int count = Integer.parseInt(new String(one.getData().forPath("/counted")));
        // A write whose answer was lost with the leader is asked again, and then counts once more.
        check(count >= turns.get() && count <= turns.get() + 2, count + " counted in " + turns.get() + " turns");
        await("the cache has the last", () -> cache.get("/counted").filter(it -> new String(it.getData()).equals(Integer.toString(count))).isPresent());
        await("the latch leads", latch::hasLeadership);
        latch.close();
        cache.close();
        System.out.println("through the leader's end: " + count + " counted under a lock in " + turns.get() + " turns");
    }

    public static void main(String[] args) {
        connect = args[0];
        try (CuratorFramework one = client(); CuratorFramework two = client()) {
            all("before", one, two);
            BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
            through(one, two, () -> {
                System.out.println("kill the leader");
                check(input.readLine() != null, "the driver is gone");
                return null;
            });
            all("after", one, two);
            System.out.println("all recipes passed");
            System.out.flush();
            System.exit(0);
        } catch (Throwable e) {
            e.printStackTrace();
            System.exit(1);
        }
    }
}
