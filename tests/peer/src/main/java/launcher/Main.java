package launcher;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;

import convex.core.crypto.AKeyPair;
import convex.core.cvm.Keywords;
import convex.core.cvm.State;
import convex.core.data.AccountKey;
import convex.core.data.Keyword;
import convex.core.init.Init;
import convex.core.store.Stores;
import convex.etch.EtchStore;
import convex.peer.Config;
import convex.peer.Server;

/**
 * Starts real Convex peers on loopback, prints one READY line for each, then obeys commands on standard
 * input and ends with it: a peer never outlives the program that started it.
 */
public final class Main {
	private final Options options;
	private final List<Server> running = new ArrayList<>();

	/** What ended a thread of a peer, which goes on without it; null if all are well. */
	private volatile String lost;

	private Main(Options options) {
		this.options = options;
	}

	public static void main(String[] arguments) {
		int status = 0;
		try {
			Main network = new Main(Options.parse(arguments));
			network.start();
			network.obey(new BufferedReader(new InputStreamReader(System.in)));
		} catch (Exception e) {
			System.err.println("the peer cannot run: " + e);
			for (Throwable cause = e.getCause(); cause != null; cause = cause.getCause()) System.err.println("  because: " + cause);
			status = 1;
		}
		System.exit(status); // the peers have threads of their own; their shutdown hooks close them
	}

	private void start() throws Exception {
		Thread.setDefaultUncaughtExceptionHandler((thread, error) -> {
			lost = thread.getName() + ": " + error;
			System.err.println("lost: " + lost);
			error.printStackTrace();
		});
		List<AKeyPair> pairs = new ArrayList<>();
		List<AccountKey> keys = new ArrayList<>();
		for (int i = 0; i < options.peers(); i++) {
			AKeyPair pair = AKeyPair.createSeeded(1000L * options.seed() + i);
			pairs.add(pair);
			keys.add(pair.getAccountKey());
		}
		State genesis = Init.createState(keys.subList(0, options.genesis()));

		Loopback.redirectBinaryListeners();
		for (int i = 0; i < options.peers(); i++) {
			if (options.runsHere(i)) launch(i, pairs.get(i), genesis);
		}
		if (running.isEmpty()) throw new IllegalArgumentException("there is no peer " + options.index() + " in a network of " + options.peers());
		dialOthers(options.isolate());
		if (options.tick() > 0) Thread.ofVirtual().start(() -> Client.tick(running.get(0), options.tick()));
	}

	private void launch(int i, AKeyPair pair, State genesis) throws Exception {
		HashMap<Keyword, Object> config = new HashMap<>();
		config.put(Keywords.KEYPAIR, pair);
		config.put(Keywords.STATE, genesis);
		config.put(Keywords.PORT, options.port() + i);
		EtchStore store = options.store() == null ? namelessStore() : EtchStore.create(new File(options.store(), "peer-" + i + ".etch"));
		// Threads that read messages have no store of their own, and would take an empty temporary one
		// for it. The thread of the beliefs dies when it follows a reference that was read so.
		if (options.index() == i) Stores.setGlobalStore(store);
		config.put(Keywords.STORE, store);
		config.put(Keywords.RESTORE, options.store() != null);
		// Put on chain by the peer itself; the others reconnect to it there after a restart.
		if (options.url() && i != options.isolate()) config.put(Keywords.URL, address(options.port() + i));
		Config.ensureFlags(config);

		Server server = Server.create(config);
		server.launch();
		Loopback.check(server);
		running.add(server);
		String rest = "-";
		if (options.rest() > 0) {
			Loopback.startRest(server, options.rest() + i);
			rest = address(options.rest() + i);
		}
		System.out.println("READY index=" + i + " binary=" + address(server.getPort()) + " rest=" + rest
			+ " key=" + server.getPeerKey() + " genesis=" + genesis.getHash() + " pid=" + ProcessHandle.current().pid());
	}

	/** A store whose file has no name any more: its 33 MB are gone with the process, however that ends. */
	private static EtchStore namelessStore() throws IOException {
		File file = File.createTempFile("convex-peer-monitor", ".etch");
		try {
			return EtchStore.create(file);
		} finally {
			if (!file.delete()) System.err.println("cannot delete " + file + ": it stays behind");
		}
	}

	private static String address(int port) {
		return Loopback.ADDRESS.getHostAddress() + ":" + port;
	}

	/** Lets each peer of this process connect to all others, except that one peer is left out (-1 for none). */
	private void dialOthers(int except) {
		for (Server server : running) {
			for (int i = 0; i < options.peers(); i++) {
				int port = options.port() + i;
				int own = server.getPort() - options.port();
				if (i == own || i == except || own == except) continue;
				Thread.ofVirtual().start(() -> dial(server, new InetSocketAddress(Loopback.ADDRESS, port)));
			}
		}
	}

	/** Tries for ten minutes: the other peer may still be starting, on a busy machine. */
	private static void dial(Server server, InetSocketAddress other) {
		for (int attempt = 0; attempt < 1200; attempt++) {
			try {
				if (server.getConnectionManager().connectToPeer(other) != null) return;
			} catch (Exception e) {
				// refused, or not answering yet
			}
			try {
				Thread.sleep(500);
			} catch (InterruptedException e) {
				return;
			}
		}
		System.err.println("peer on port " + server.getPort() + " gave up dialling " + other);
	}

	/** Closes all connections between the peers of this process that are in a group and those that are not. */
	private void cut(List<String> group) {
		for (Server one : running) {
			for (Server other : running) {
				if (isIn(group, one) != isIn(group, other)) one.getConnectionManager().closeConnection(other.getPeerKey(), "cut");
			}
		}
	}

	private boolean isIn(List<String> group, Server server) {
		return group.contains(String.valueOf(server.getPort() - options.port()));
	}

	private void obey(BufferedReader commands) throws IOException {
		for (String line = commands.readLine(); line != null && !line.equals("quit"); line = commands.readLine()) {
			try {
				System.out.println(answer(running.get(0), line.trim().split(" ", 2)));
			} catch (Exception e) {
				System.out.println("ERROR " + e);
			}
		}
	}

	private String answer(Server peer, String[] command) throws Exception {
		String argument = command.length > 1 ? command[1] : "";
		switch (command[0]) {
			case "on":
				String[] indexed = argument.split(" ", 2);
				return answer(running.get(Integer.parseInt(indexed[0])), indexed[1].split(" ", 2));
			case "tx":
				return Client.transact(peer, argument);
			case "q":
				return Client.query(peer, argument);
			case "bench":
				return Client.benchmark(peer, argument);
			case "join":
				dialOthers(-1);
				return "OK";
			case "well":
				return lost == null ? "OK" : "ERROR " + lost;
			case "cut":
				cut(List.of(argument.split(",")));
				return "OK";
			case "close":
				running.get(Integer.parseInt(argument)).close();
				return "OK";
			default:
				return "ERROR unknown command " + command[0] + ", there are: on, tx, q, bench, join, cut, close, well, quit";
		}
	}
}
