// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Faults between boxes: partitions, of which not one packet gets through, and random ones, each decision of which can
 * be computed again. Between three boxes, over datagrams that carry their number and time, and a conversation that
 * was there before.
 */
#include "tests/kernel/fault_world.h"

#include <sys/stat.h>

#define DATAGRAMS 1000
#define MILLION 1000000u

struct datagram {
	uint32_t number, from;
	uint64_t sent_ns;
	unsigned char filler[84];
};

/* A socket of the test's in each box. */
struct posts {
	int fd[3];
	int home;
};

static void posts_open(struct fault_world *fw, struct posts *posts)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	int zero = 0, room = 4 << 20;

	posts->home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		if (setns(fw->boxes->box[i].netns, CLONE_NEWNET))
			abort();
		posts->fd[i] = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		setsockopt(posts->fd[i], IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		setsockopt(posts->fd[i], SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		if (bind(posts->fd[i], (void *)&six, sizeof(six)))
			abort();
	}
	if (setns(posts->home, CLONE_NEWNET))
		abort();
	close(posts->home);
}

static void posts_close(struct posts *posts)
{
	for (int i = 0; i < 3; i++)
		close(posts->fd[i]);
}

static void post(struct fault_world *fw, struct posts *posts, int from, int to, int family, uint32_t number)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	struct datagram datagram = { .number = number, .from = (uint32_t)from, .sent_ns = clock_monotonic_ns() };
	const struct box *box = &fw->boxes->box[to];

	memset(datagram.filler, 0x55, sizeof(datagram.filler));
	memcpy(&six.sin6_addr, family == AF_INET ? box->ip4 : box->ip6, 16);
	expect(fw->w, sendto(posts->fd[from], &datagram, sizeof(datagram), 0, (void *)&six, sizeof(six)) ==
			      sizeof(datagram));
}

/* The next datagram in that box, within some time. */
static bool post_read(struct posts *posts, int box, int wait_ms, struct datagram *ret)
{
	struct pollfd waiting = { .fd = posts->fd[box], .events = POLLIN };

	return poll(&waiting, 1, wait_ms) > 0 && recv(posts->fd[box], ret, sizeof(*ret), 0) == sizeof(*ret);
}

static bool passes(struct fault_world *fw, struct posts *posts, int from, int to, int family)
{
	struct datagram datagram;
	uint32_t number = (uint32_t)clock_monotonic_ns();

	post(fw, posts, from, to, family, number);
	while (post_read(posts, to, 5000, &datagram))
		if (datagram.number == number)
			return true;
	return false;
}

static uint64_t packets_of(struct fault_world *fw, uint32_t id)
{
	struct kernel_receipt receipt = { 0 };

	faults_receipt(fw->faults, id, &receipt);
	return receipt.packets;
}

/* It does not get there: what was sent for it is counted as lost. */
static bool is_blocked(struct fault_world *fw, struct posts *posts, int from, int to, int family, uint32_t id)
{
	struct timespec pause = { .tv_nsec = 1000 * 1000 };
	uint64_t before = packets_of(fw, id);
	struct datagram datagram;

	post(fw, posts, from, to, family, 1);
	for (int i = 0; i < 5000 && packets_of(fw, id) == before; i++)
		nanosleep(&pause, NULL);
	return packets_of(fw, id) > before && !post_read(posts, to, 0, &datagram);
}

static void arm(struct fault_world *fw, const struct kernel_fault *fault)
{
	struct error e = { "" };

	if (!expect(fw->w, !faults_arm(fw->faults, fault, 1, clock_monotonic_ns() + LEASE_NS, &e)))
		printf("# %s\n", e.text);
}

static void partition_test(struct fault_world *fw, enum fault_kind kind, uint32_t flags, const char *name)
{
	static const uint32_t from[] = { 1 }, to[] = { 2 };
	struct kernel_fault fault = {.id = 1,
				     .kind = kind,
				     .flags = flags,
				     .from = from,
				     .n_from = 1,
				     .to = to,
				     .n_to = kind == FAULT_PARTITION};
	struct kernel_receipt receipt = { 0 };
	struct datagram datagram;
	struct posts posts;
	bool oneway = flags & FAULT_F_ONEWAY;

	fault_world_open(fw);
	posts_open(fw, &posts);
	/* nobody has asked for anybody's address yet: neither ARP nor neighbour discovery gets through */
	arm(fw, &fault);
	for (int six = 0; six < 2; six++) {
		int family = six ? AF_INET6 : AF_INET;

		expect(fw->w, is_blocked(fw, &posts, 0, 1, family, 1));
		expect(fw->w, passes(fw, &posts, 1, 2, family) && passes(fw, &posts, 2, 1, family));
		if (kind == FAULT_PARTITION)
			expect(fw->w, passes(fw, &posts, 0, 2, family) && passes(fw, &posts, 2, 0, family));
		else
			expect(fw->w, is_blocked(fw, &posts, 0, 2, family, 1));
	}
	/* questions, which are short; had one been answered, the datagram would have come too */
	faults_receipt(fw->faults, 1, &receipt);
	expect(fw->w, receipt.bytes && receipt.bytes <= receipt.packets * 80);
	expect(fw->w, !faults_lift(fw->faults, 1));
	for (int six = 0; six < 2; six++)
		for (int i = 0; i < 6; i++)
			expect(fw->w, passes(fw, &posts, i / 2, (i / 2 + 1 + i % 2) % 3, six ? AF_INET6 : AF_INET));
	/* once more, now that addresses are known; the other way is free if it is not asked for */
	fault.id = 2;
	while (post_read(&posts, 1, 0, &datagram) || post_read(&posts, 0, 0, &datagram))
		;
	arm(fw, &fault);
	for (int six = 0; six < 2; six++) {
		int family = six ? AF_INET6 : AF_INET;

		expect(fw->w, is_blocked(fw, &posts, 0, 1, family, 2));
		expect(fw->w, oneway ? passes(fw, &posts, 1, 0, family) : is_blocked(fw, &posts, 1, 0, family, 2));
	}
	faults_lift(fw->faults, 2);
	expect(fw->w, passes(fw, &posts, 0, 1, AF_INET) && passes(fw, &posts, 1, 0, AF_INET6));
	posts_close(&posts);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

/* From a moment on: the message and all after it do not arrive, what was before has; another pair of boxes does not
 * notice. */
static void partition_lift(struct fault_world *fw, const struct trial *trial)
{
	struct conversation *c = &fw->conversations[0];
	struct kernel_receipt receipt;

	if (faults_receipt(fw->faults, 1, &receipt) || receipt.state != FAULT_STATE_FIRED)
		goto out;
	if (receipt.packets >= 3) {
		expect(fw->w, c->server.got == bytes_before(trial, 0, 10));
		expect(fw->w, !faults_lift(fw->faults, 1));
	}
out:
	if (c->client.done && c->server.done)
		__atomic_store_n(&c->finish, 1, __ATOMIC_SEQ_CST);
}

static void partition_moment_test(struct fault_world *fw, enum fault_moment_kind moment, const char *name)
{
	static const uint32_t from[] = { 1 }, to[] = { 2, 3 };
	struct trial trial = { .family = AF_INET6, .n = 1 };
	struct kernel_fault fault = {.id = 1,
				     .kind = FAULT_PARTITION,
				     .moment = moment,
				     .message = moment == MOMENT_SEND ? 10 : 9,
				     .from = from,
				     .n_from = 1,
				     .to = to,
				     .n_to = 2};
	struct kernel_receipt receipt = { 0 };

	fault_world_open(fw);
	where_of(&trial, 0, &fault.where);
	fault.reply = moment == MOMENT_RECV;
	arm(fw, &fault);
	programs_start(fw, &trial);
	programs_finish(fw, &trial, partition_lift);
	faults_receipt(fw->faults, 1, &receipt);
	expect(fw->w, receipt.state == FAULT_STATE_LIFTED && receipt.fired == 1 && receipt.effect_ns);
	expect(fw->w, fw->conversations[0].server.got == bytes_before(&trial, 0, MESSAGES + 1) &&
			      !fw->conversations[0].server.corrupt);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

/* Sends numbered datagrams from c to s; how often each arrived, and whether it was as it was sent. */
static void flood(struct fault_world *fw, struct posts *posts, uint32_t id, unsigned int count[DATAGRAMS],
		  unsigned int *ret_changed)
{
	struct kernel_receipt receipt;
	struct datagram datagram;

	*ret_changed = 0;
	for (uint32_t i = 0; i < DATAGRAMS; i++)
		post(fw, posts, 0, 1, AF_INET, i);
	faults_receipt(fw->faults, id, &receipt);
	while (post_read(posts, 1, 200, &datagram)) {
		unsigned int bits = 0;

		for (size_t i = 0; i < sizeof(datagram.filler); i++)
			bits += (unsigned int)__builtin_popcount(datagram.filler[i] ^ 0x55);
		bits += datagram.from != 0;
		*ret_changed += bits != 0 || datagram.number >= DATAGRAMS;
		if (datagram.number < DATAGRAMS)
			count[datagram.number]++;
	}
}

static void random_test(struct fault_world *fw, enum fault_kind kind, uint32_t ppm, const char *name)
{
	static const uint32_t from[] = { 1 }, to[] = { 2 };
	struct kernel_fault fault = {.id = 1,
				     .kind = kind,
				     .flags = FAULT_F_ONEWAY,
				     .from = from,
				     .n_from = 1,
				     .to = to,
				     .n_to = 1,
				     .ppm = ppm,
				     .seed = 4711};
	unsigned int count[DATAGRAMS] = { 0 }, changed, yes = 0, wrong = 0;
	struct kernel_receipt receipt = { 0 };
	struct posts posts;

	fault_world_open(fw);
	posts_open(fw, &posts);
	expect(fw->w, passes(fw, &posts, 0, 1, AF_INET) && passes(fw, &posts, 1, 0, AF_INET));
	arm(fw, &fault);
	flood(fw, &posts, 1, count, &changed);
	faults_receipt(fw->faults, 1, &receipt);
	for (uint64_t n = 0; n < receipt.decisions; n++)
		yes += (unsigned int)fault_decision(fault.seed, n, ppm);
	expect(fw->w, receipt.decisions >= DATAGRAMS && receipt.packets <= yes);
	/* a packet without anything of a program's in it cannot be changed */
	expect(fw->w, receipt.packets + (kind == FAULT_CORRUPT ? receipt.decisions - DATAGRAMS : 0) >= yes);
	expect(fw->w, yes > ppm / 1000 - ppm / 4000 && (ppm == MILLION || yes < ppm / 1000 + ppm / 4000));
	/* unless something else was sent between the boxes, decision n is that about datagram n */
	for (uint32_t i = 0; receipt.decisions == DATAGRAMS && i < DATAGRAMS; i++) {
		unsigned int is = (unsigned int)fault_decision(fault.seed, i, ppm);

		wrong += kind == FAULT_LOSS ? count[i] != !is : kind == FAULT_DUPLICATE ? count[i] != 1 + is : 0;
	}
	expect(fw->w, !wrong);
	if (kind == FAULT_CORRUPT)
		expect(fw->w,
		       changed >= yes / 2 && changed <= yes); /* the rest is in the time, which is not looked at */
	else
		expect(fw->w, !changed);
	if (fw->w->failures)
		printf("# %llu decisions, %u yes, %u wrong, %u changed\n", (unsigned long long)receipt.decisions, yes,
		       wrong, changed);
	posts_close(&posts);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

/* What the agent needs itself is never touched, whatever is armed. */
static void spare_test(struct fault_world *fw)
{
	static const uint32_t from[] = { 1, 2, 3 };
	struct kernel_fault faults[] = { { .id = 1, .kind = FAULT_ISOLATE, .from = from, .n_from = 3 },
					 { .id = 2, .kind = FAULT_LOSS, .from = from, .n_from = 3, .ppm = MILLION } };
	struct posts posts;
	struct error e = { "" };

	fault_world_open(fw);
	posts_open(fw, &posts);
	for (int i = 0; i < 2; i++)
		expect(fw->w, !faults_spare(fw->faults, i ? fw->boxes->box[1].ip6 : fw->boxes->box[1].ip4, PORT, &e));
	arm(fw, &faults[0]);
	arm(fw, &faults[1]);
	for (int six = 0; six < 2; six++)
		expect(fw->w, passes(fw, &posts, 0, 1, six ? AF_INET6 : AF_INET) &&
				      passes(fw, &posts, 1, 0, six ? AF_INET6 : AF_INET));
	expect(fw->w, is_blocked(fw, &posts, 0, 2, AF_INET, 1));
	posts_close(&posts);
	fault_world_close(fw);
	test_end(fw->w, "the agent's own link passes, whatever its boxes are cut off from");
}

/* --- devices that come later --- */

/* A command in a box, in which "%d" is the test's own process. */
static void in_box(struct fault_world *fw, int box, const char *command)
{
	char text[512];
	int status;
	pid_t pid;

	snprintf(text, sizeof(text), command, (int)getpid());
	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (setns(fw->boxes->box[box].netns, CLONE_NEWNET))
			_exit(99);
		execl("/bin/sh", "sh", "-ec", text, (char *)NULL);
		_exit(98);
	}
	expect(fw->w, waitpid(pid, &status, 0) == pid && !status);
}

/* A second wire between the first two boxes. */
static void wire_open(struct fault_world *fw, bool watched)
{
	char text[200];

	snprintf(text, sizeof(text), "ip link add late0 type veth peer name late1; ip link set late1 netns /proc/%%d/fd/%d",
		 fw->boxes->box[1].netns);
	in_box(fw, 0, text);
	if (watched)
		faults_watch(fw->faults);
	in_box(fw, 1, "ip addr add 10.99.0.2/24 dev late1; ip link set late1 up");
	in_box(fw, 0, "ip addr add 10.99.0.1/24 dev late0; ip link set late0 up");
}

static void post_to(struct fault_world *fw, struct posts *posts, const char *address)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	struct datagram datagram = { .number = 1 };

	expect(fw->w, inet_pton(AF_INET6, address, &six.sin6_addr) == 1);
	expect(fw->w, sendto(posts->fd[0], &datagram, sizeof(datagram), 0, (void *)&six, sizeof(six)) == sizeof(datagram));
}

static void late_test(struct fault_world *fw, bool watched, const char *name)
{
	static const uint32_t from[] = { 1 }, to[] = { 2 };
	struct kernel_fault fault = { .id = 1, .kind = FAULT_PARTITION, .from = from, .n_from = 1, .to = to, .n_to = 1 };
	struct datagram datagram;
	struct posts posts;

	fault_world_open(fw);
	posts_open(fw, &posts);
	arm(fw, &fault);
	wire_open(fw, watched);
	post_to(fw, &posts, "::ffff:10.99.0.2");
	if (watched) {
		for (int i = 0; i < 5000 && !packets_of(fw, 1); i++)
			poll(NULL, 0, 1);
		expect(fw->w, packets_of(fw, 1) && !post_read(&posts, 1, 0, &datagram));
		faults_watch(fw->faults);
		expect(fw->w, !faults_missed(fw->faults));
		in_box(fw, 0, "ip link del late0");
		faults_watch(fw->faults); /* they have gone, and others come */
		wire_open(fw, true);
		expect(fw->w, !faults_missed(fw->faults));
		expect(fw->w, is_blocked(fw, &posts, 0, 1, AF_INET, 1));
	} else {
		expect(fw->w, post_read(&posts, 1, 5000, &datagram));
		faults_watch(fw->faults);
		expect(fw->w, faults_missed(fw->faults) && !faults_missed(fw->faults));
	}
	posts_close(&posts);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

/* A tunnel out of the first box, which the test holds the other end of. -1: there can be none. */
static int tunnel_open(struct fault_world *fw)
{
	struct ifreq request = { .ifr_name = "late0", .ifr_flags = 0x1001 /* IFF_TUN, IFF_NO_PI */ };
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), fd;

	if (setns(fw->boxes->box[0].netns, CLONE_NEWNET))
		abort();
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, _IOW('T', 202, int) /* TUNSETIFF */, &request)) {
		close(fd);
		fd = -1;
	}
	if (setns(home, CLONE_NEWNET))
		abort();
	close(home);
	return fd;
}

static void tunnel_test(struct fault_world *fw, const char *name)
{
	static const uint32_t from[] = { 1 };
	struct kernel_fault fault = { .id = 1, .kind = FAULT_ISOLATE, .from = from, .n_from = 1 };
	unsigned char packet[2048];
	struct posts posts;
	int tunnel;

	fault_world_open(fw);
	posts_open(fw, &posts);
	arm(fw, &fault);
	tunnel = tunnel_open(fw);
	if (tunnel < 0) {
		printf("ok %d - %s # SKIP no tun device can be made here: %s\n", ++fw->w->tests, name, strerror(errno));
	} else {
		in_box(fw, 0, "ip addr add 10.98.0.1/24 dev late0; ip link set late0 up");
		faults_watch(fw->faults);
		faults_missed(fw->faults);
		post_to(fw, &posts, "::ffff:10.98.0.2");
		expect(fw->w, read(tunnel, packet, sizeof(packet)) > 0);
		expect(fw->w, faults_missed(fw->faults));
		faults_lift(fw->faults, 1);
		post_to(fw, &posts, "::ffff:10.98.0.2");
		expect(fw->w, read(tunnel, packet, sizeof(packet)) > 0 && !faults_missed(fw->faults));
		close(tunnel);
		test_end(fw->w, name);
	}
	posts_close(&posts);
	fault_world_close(fw);
	fw->w->n = 0;
}

int main(void)
{
	struct fault_world fw = { .client = client_main };
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	fw.w = world_new(&status);
	if (!fw.w) {
		puts("1..1");
		return status;
	}
	partition_test(&fw, FAULT_PARTITION, 0,
		       "partition: no packet either way, ARP and neighbour discovery neither; others pass; it heals");
	partition_test(&fw, FAULT_PARTITION, FAULT_F_ONEWAY, "partition oneway: the other direction passes");
	partition_test(&fw, FAULT_ISOLATE, 0, "isolate: against everyone");
	partition_moment_test(
		&fw, MOMENT_SEND,
		"partition from a send: on a connection that was there, from that message on; it heals");
	partition_moment_test(&fw, MOMENT_RECV, "partition from a receive");
	random_test(&fw, FAULT_LOSS, MILLION / 4, "loss: just the datagrams that the seed says");
	random_test(&fw, FAULT_DUPLICATE, MILLION / 4, "duplicate: just the datagrams that the seed says, once more");
	random_test(&fw, FAULT_CORRUPT, MILLION / 4, "corrupt: so many arrive changed, with a valid checksum");
	random_test(&fw, FAULT_LOSS, MILLION, "loss of everything");
	spare_test(&fw);
	late_test(&fw, true, "a partition holds on a second wire between the boxes, too, that came later");
	late_test(&fw, false, "what passed there before the first look is told");
	tunnel_test(&fw, "what passes a device without Ethernet headers while faults are on is told");
	world_free(fw.w);
	return 0;
}
