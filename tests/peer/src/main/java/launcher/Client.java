package launcher;

import java.util.Arrays;

import convex.api.Convex;
import convex.core.ErrorCodes;
import convex.core.Result;
import convex.core.data.ACell;
import convex.core.lang.RT;
import convex.core.lang.Reader;
import convex.peer.Server;

/** What the launcher asks of a peer in its own process, as the peer's controller. */
final class Client {
	private Client() {}

	/** Sends a transaction and waits until it is final. */
	static String transact(Server server, String source) throws InterruptedException {
		Result result = connect(server).transactSync(source);
		// The peer's own first transaction (it writes its URL) may take the sequence number in between.
		for (int again = 0; again < 3 && ErrorCodes.SEQUENCE.equals(result.getErrorCode()); again++) {
			result = connect(server).transactSync(source);
		}
		return print(result);
	}

	static String query(Server server, String source) throws InterruptedException {
		return print(connect(server).querySync(source));
	}

	/** Makes a transaction every so many milliseconds, for ever; a failed one is not news, the next may work. */
	static void tick(Server server, int milliseconds) {
		try {
			for (long i = 0;; i++) {
				transact(server, "(def tick " + i + ")");
				Thread.sleep(milliseconds);
			}
		} catch (InterruptedException e) {
			Thread.currentThread().interrupt();
		}
	}

	/**
	 * Times queries through the in-process client, one after another, after a tenth as many for warming up.
	 *
	 * @param arguments {@code local COUNT SOURCE}
	 */
	static String benchmark(Server server, String arguments) throws InterruptedException {
		String[] part = arguments.split(" ", 3);
		if (part.length < 3 || !part[0].equals("local")) return "ERROR wanted: bench local COUNT SOURCE";
		int count = Integer.parseInt(part[1]);
		if (count < 1) return "ERROR wanted is a COUNT of at least 1";
		ACell form = Reader.read(part[2]);
		Convex client = connect(server);
		for (int i = 0; i < count / 10; i++) client.querySync(form);

		long[] nanos = new long[count];
		long start = System.nanoTime();
		for (int i = 0; i < count; i++) {
			long before = System.nanoTime();
			Result result = client.querySync(form);
			nanos[i] = System.nanoTime() - before;
			if (result.isError()) return print(result);
		}
		long total = System.nanoTime() - start;
		Arrays.sort(nanos);
		return String.format("BENCH transport=local queries=%d p50_us=%.1f p99_us=%.1f per_second=%.0f",
			count, nanos[count / 2] / 1e3, nanos[(int) (count * 0.99)] / 1e3, count * 1e9 / total);
	}

	private static Convex connect(Server server) {
		return Convex.connect(server, server.getPeerController(), server.getKeyPair());
	}

	/** One line, with strings quoted and escaped. */
	private static String print(Result result) {
		String value = RT.print(result.getValue()).toString();
		return result.isError() ? "ERROR " + result.getErrorCode() + " " + value : "OK " + value;
	}
}
