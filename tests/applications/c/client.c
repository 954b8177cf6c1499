/* The C client against an ensemble: every call it has for data, watches and transactions, before
 * the leader is killed and after, in one session.
 *
 *   cc client.c -lzookeeper_mt && ./a.out CONNECT-STRING
 *
 * Prints `kill the leader` and waits for a line on standard input. */
#define THREADED
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int state;
static int events[8];
static int completed;

static void fail(const char *what, int code) {
    fprintf(stderr, "%s: %d (%s)\n", what, code, zerror(code));
    exit(1);
}

#define MUST(expected, call)                                                                       \
    do {                                                                                           \
        int code = (call);                                                                         \
        if (code != (expected)) fail(#call, code);                                                 \
    } while (0)

#define CHECK(holds)                                                                               \
    do {                                                                                           \
        if (!(holds)) fail(#holds, 0);                                                             \
    } while (0)

static void watcher(zhandle_t *zh, int type, int new_state, const char *path, void *context) {
    (void)zh, (void)path, (void)context;
    pthread_mutex_lock(&lock);
    if (type == ZOO_SESSION_EVENT) {
        state = new_state;
    } else if (type >= 0 && type < 8) {
        events[type]++;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_for(const char *what, const int *number, int wanted) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&lock);
    while (*number < wanted) {
        if (pthread_cond_timedwait(&changed, &lock, &until) != 0) fail(what, *number);
    }
    pthread_mutex_unlock(&lock);
}

static void wait_connected(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&lock);
    while (state != ZOO_CONNECTED_STATE) {
        if (pthread_cond_timedwait(&changed, &lock, &until) != 0) fail("no connection", state);
    }
    pthread_mutex_unlock(&lock);
}

static void created(int rc, const char *value, const void *context) {
    (void)value, (void)context;
    if (rc != ZOK) fail("asynchronous create", rc);
    pthread_mutex_lock(&lock);
    completed++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void calls(zhandle_t *zh, const char *root) {
    char path[128], made[128], data[64];
    int len;
    struct Stat stat;
    struct String_vector names;
    struct ACL_vector acl;
    int before[8];
    memcpy(before, events, sizeof before);

    MUST(ZOK, zoo_create(zh, root, "root", 4, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    CHECK(strcmp(made, root) == 0);
    MUST(ZNODEEXISTS, zoo_create(zh, root, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    snprintf(path, sizeof path, "%s/n", root);
    MUST(ZNONODE, zoo_wexists(zh, path, watcher, NULL, &stat));
    MUST(ZOK, zoo_create2(zh, path, NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, made, sizeof made, &stat));
    CHECK(stat.ephemeralOwner == zoo_client_id(zh)->client_id);
    wait_for("created", &events[1], before[1] + 1);
    len = sizeof data;
    MUST(ZOK, zoo_wget(zh, path, watcher, NULL, data, &len, &stat));
    CHECK(len == -1);
    MUST(ZOK, zoo_set2(zh, path, "one", 3, 0, &stat));
    CHECK(stat.version == 1 && stat.dataLength == 3);
    wait_for("changed", &events[3], before[3] + 1);
    MUST(ZBADVERSION, zoo_set(zh, path, "two", 3, 0));
    len = sizeof data;
    MUST(ZOK, zoo_get(zh, path, 0, data, &len, &stat));
    CHECK(len == 3 && memcmp(data, "one", 3) == 0);
    MUST(ZOK, zoo_wget_children2(zh, root, watcher, NULL, &names, &stat));
    CHECK(names.count == 1 && stat.numChildren == 1);
    deallocate_String_vector(&names);
    snprintf(path, sizeof path, "%s/s-", root);
    MUST(ZOK, zoo_create(zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, made, sizeof made));
    snprintf(path, sizeof path, "%s/s-0000000001", root);
    CHECK(strcmp(made, path) == 0);
    wait_for("a child", &events[4], before[4] + 1);
    MUST(ZNOTEMPTY, zoo_delete(zh, root, -1));
    MUST(ZOK, zoo_get_acl(zh, path, &acl, &stat));
    CHECK(acl.count == 1 && strcmp(acl.data[0].id.scheme, "world") == 0);
    deallocate_ACL_vector(&acl);
    MUST(ZOK, zoo_set_acl(zh, path, -1, &ZOO_READ_ACL_UNSAFE));
    MUST(ZNOAUTH, zoo_set(zh, path, "x", 1, -1));

    char first[128], second[128], buffer[128];
    struct Stat set;
    zoo_op_t ops[4];
    zoo_op_result_t results[4];
    snprintf(first, sizeof first, "%s/m1", root);
    snprintf(second, sizeof second, "%s/m2", root);
    zoo_check_op_init(&ops[0], root, -1);
    zoo_create_op_init(&ops[1], first, "m", 1, &ZOO_OPEN_ACL_UNSAFE, 0, buffer, sizeof buffer);
    zoo_set_op_init(&ops[2], first, "mm", 2, 0, &set);
    zoo_create_op_init(&ops[3], second, "m", 1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    MUST(ZOK, zoo_multi(zh, 4, ops, results));
    CHECK(strcmp(buffer, first) == 0 && set.version == 1);
    zoo_delete_op_init(&ops[0], second, -1);
    zoo_create_op_init(&ops[1], first, "m", 1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    MUST(ZNODEEXISTS, zoo_multi(zh, 2, ops, results));
    CHECK(results[0].err == ZOK && results[1].err == ZNODEEXISTS);
    MUST(ZOK, zoo_exists(zh, second, 0, &stat));

    completed = 0;
    for (int n = 0; n < 500; n++) {
        snprintf(path, sizeof path, "%s/a%d", root, n);
        MUST(ZOK, zoo_acreate(zh, path, "a", 1, &ZOO_OPEN_ACL_UNSAFE, 0, created, NULL));
    }
    wait_for("500 asynchronous creates", &completed, 500);
    MUST(ZOK, zoo_get_children(zh, root, 0, &names));
    CHECK(names.count == 504);
    deallocate_String_vector(&names);
}

int main(int argc, char **argv) {
    char line[16], data[64];
    int len = sizeof data;
    struct Stat stat;
    if (argc != 2) return 2;
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zhandle_t *zh = zookeeper_init(argv[1], watcher, 15000, NULL, NULL, 0);
    if (zh == NULL) fail("zookeeper_init", 0);
    wait_connected();
    int64_t session = zoo_client_id(zh)->client_id;
    calls(zh, "/c-before");
    /* A watch that has to live through the leader's end. */
    MUST(ZOK, zoo_create(zh, "/c-watched", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    int deleted = events[2];
    MUST(ZOK, zoo_wexists(zh, "/c-watched", watcher, NULL, &stat));
    printf("kill the leader\n");
    fflush(stdout);
    CHECK(fgets(line, sizeof line, stdin) != NULL);
    int rc;
    for (int tries = 0; (rc = zoo_set(zh, "/c-before", "after", 5, -1)) != ZOK; tries++) {
        if (tries > 300 || rc == ZSESSIONEXPIRED) fail("a write after the leader's end", rc);
        usleep(100000);
    }
    CHECK(zoo_client_id(zh)->client_id == session);
    MUST(ZOK, zoo_get(zh, "/c-before/n", 0, data, &len, &stat));
    CHECK(stat.ephemeralOwner == session);
    MUST(ZOK, zoo_delete(zh, "/c-watched", -1));
    wait_for("deleted", &events[2], deleted + 1);
    calls(zh, "/c-after");
    MUST(ZOK, zookeeper_close(zh));
    printf("the C client passed\n");
    return 0;
}
