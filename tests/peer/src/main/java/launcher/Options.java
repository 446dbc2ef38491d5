package launcher;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The command line, all of it {@code --name value}.
 *
 * @param port    binary port of peer 0; peer i listens on port + i
 * @param rest    REST port of peer 0; 0 for none
 * @param peers   how many peers there are
 * @param genesis how many of them the genesis state names, with equal stake; the others can be registered later
 * @param index   run only this peer; -1 for all of them in one process
 * @param seed    the keys, and with them the genesis, depend only on seed and peers
 * @param tick    milliseconds between transactions made by this process; 0 for an idle network
 * @param url     whether a peer puts its address on chain, in its first block, so that others dial it again by themselves
 * @param isolate this peer neither dials nor is dialled until "join": it answers, but stays behind; -1 for none
 * @param store   a directory where the peers keep their stores for the next start; null for stores that vanish
 */
record Options(int port, int rest, int peers, int genesis, int index, int seed, int tick, boolean url, int isolate, String store) {
	private static final List<String> NAMES = List.of("port", "rest", "peers", "genesis", "index", "seed", "tick", "url", "isolate", "store");

	static Options parse(String[] arguments) {
		Map<String, String> given = new HashMap<>();
		for (int i = 0; i < arguments.length; i += 2) {
			String name = arguments[i].startsWith("--") ? arguments[i].substring(2) : "";
			if (!NAMES.contains(name) || i + 1 == arguments.length) {
				throw new IllegalArgumentException("cannot use " + Arrays.toString(arguments) + ": wanted are --NAME VALUE pairs, NAME one of " + NAMES);
			}
			given.put(name, arguments[i + 1]);
		}
		int peers = number(given, "peers", 1);
		return new Options(
			number(given, "port", 18888),
			number(given, "rest", 0),
			peers,
			number(given, "genesis", peers),
			number(given, "index", -1),
			number(given, "seed", 1),
			number(given, "tick", 0),
			number(given, "url", 1) != 0,
			number(given, "isolate", -1),
			given.get("store"));
	}

	private static int number(Map<String, String> given, String name, int otherwise) {
		return given.containsKey(name) ? Integer.parseInt(given.get(name)) : otherwise;
	}

	/** Whether peer i belongs to this process. */
	boolean runsHere(int i) {
		return index < 0 || index == i;
	}
}
