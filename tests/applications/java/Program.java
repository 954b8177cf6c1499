// What the applications share: they tell what they have done, ask for another leader, and end with
// a word.
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.ServerSocket;

final class Program {

    interface Body {
        void run(String connect, File directory) throws Exception;
    }

    private static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in));
    private static long began = System.nanoTime();

    private Program() {
    }

    /** Runs it with the two arguments; whatever threads it leaves behind end with it. */
    static void main(String name, String[] args, Body body) {
        try {
            body.run(args[0], new File(args[1]));
            System.out.println(name + " passed");
            System.out.flush();
            Runtime.getRuntime().halt(0);
        } catch (Throwable e) {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    /** Says what was done, and how long it took since the last time. */
    static void say(String what) {
        System.out.println(what + ": " + (System.nanoTime() - began) / 1_000_000 + " ms");
        began = System.nanoTime();
    }

    /** Has the ensemble's leader killed, and waits until it is back and another leads. */
    static void killTheLeader() throws IOException {
        System.out.println("kill the leader");
        System.out.flush();
        ANSWERS.readLine();
        began = System.nanoTime();
    }

    static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}
