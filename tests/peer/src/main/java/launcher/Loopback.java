package launcher;

import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;

import convex.net.impl.netty.NettyServer;
import convex.peer.Server;
import convex.restapi.RESTServer;
import io.javalin.Javalin;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.channel.nio.NioEventLoopGroup;

/**
 * Keeps a peer on loopback. A stock 0.8.0 peer listens on all interfaces and has no setting for it,
 * so two of its non-public members are set by reflection here; they exist in exactly this version.
 */
final class Loopback {
	static final InetAddress ADDRESS = InetAddress.getLoopbackAddress();

	private Loopback() {}

	/** Makes every binary listener of this process bind to loopback. Call it before the first peer is launched. */
	static void redirectBinaryListeners() throws ReflectiveOperationException {
		Field group = NettyServer.class.getDeclaredField("bossGroup");
		group.setAccessible(true);
		group.set(null, new LoopbackGroup());
	}

	/** Starts the peer's REST server on a loopback port: its own start method takes a port only. */
	static Javalin startRest(Server server, int port) throws ReflectiveOperationException {
		RESTServer rest = RESTServer.create(server);
		Method buildApp = RESTServer.class.getDeclaredMethod("buildApp", boolean.class);
		buildApp.setAccessible(true);
		boolean withTls = false;
		Javalin app;
		PrintStream err = System.err;
		System.setErr(new PrintStream(OutputStream.nullOutputStream())); // it prints a stack trace for the lack of a certificate
		try {
			app = (Javalin) buildApp.invoke(rest, withTls);
		} finally {
			System.setErr(err);
		}
		Field javalin = RESTServer.class.getDeclaredField("javalin"); // the server asks it for the port
		javalin.setAccessible(true);
		javalin.set(rest, app);
		return app.start(ADDRESS.getHostAddress(), port);
	}

	/** Throws unless the peer really listens on loopback: a later version may ignore what is done above. */
	static void check(Server server) {
		if (!server.getHostAddress().getAddress().isLoopbackAddress()) {
			throw new IllegalStateException("the peer listens on " + server.getHostAddress() + ", not only on loopback");
		}
	}

	/** The event loops of listening channels: each listener registers here before it binds. */
	private static final class LoopbackGroup extends NioEventLoopGroup {
		LoopbackGroup() {
			super(1);
		}

		@Override
		public ChannelFuture register(Channel listener) {
			listener.pipeline().addLast(new BindToLoopback());
			return super.register(listener);
		}
	}

	private static final class BindToLoopback extends ChannelOutboundHandlerAdapter {
		@Override
		public void bind(ChannelHandlerContext context, SocketAddress wanted, ChannelPromise promise) {
			context.bind(new InetSocketAddress(ADDRESS, ((InetSocketAddress) wanted).getPort()), promise);
		}
	}
}
