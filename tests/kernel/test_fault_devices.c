// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Devices that come into boxes while faults are on: what passes them meets the faults as it does everywhere, and what nobody could
 * look at is told.
 */
#include "tests/kernel/fault_posts.h"

#include <sys/resource.h>

#include <bpf/bpf.h>

#define TCX_MAX 64 /* programs at one device: BPF_MPROG_MAX of kernel/bpf/mprog.c */

static uint64_t missed(struct fault_world *fw)
{
	struct error ignored;

	return faults_missed(fw->faults, &ignored);
}

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

/* What is sent over the second wire does not arrive; the wall has counted it. */
static bool wire_is_cut(struct fault_world *fw, struct posts *posts)
{
	uint64_t before = packets_of(fw, 1);
	struct datagram datagram;

	post_to(fw, posts, "::ffff:10.99.0.2");
	for (int i = 0; i < 5000 && packets_of(fw, 1) == before; i++)
		poll(NULL, 0, 1);
	return packets_of(fw, 1) > before && !post_read(posts, 1, 0, &datagram);
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
	if (watched) {
		expect(fw->w, wire_is_cut(fw, &posts));
		faults_watch(fw->faults);
		expect(fw->w, !missed(fw));
		in_box(fw, 0, "ip link del late0");
		faults_watch(fw->faults); /* they have gone, and others come */
		wire_open(fw, true);
		expect(fw->w, !missed(fw));
		expect(fw->w, is_blocked(fw, &posts, 0, 1, AF_INET, 1));
	} else {
		post_to(fw, &posts, "::ffff:10.99.0.2");
		expect(fw->w, post_read(&posts, 1, 5000, &datagram));
		faults_watch(fw->faults);
		expect(fw->w, missed(fw) && !missed(fw));
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
		missed(fw);
		post_to(fw, &posts, "::ffff:10.98.0.2");
		expect(fw->w, read(tunnel, packet, sizeof(packet)) > 0);
		expect(fw->w, missed(fw));
		faults_lift(fw->faults, 1);
		post_to(fw, &posts, "::ffff:10.98.0.2");
		expect(fw->w, read(tunnel, packet, sizeof(packet)) > 0 && !missed(fw));
		close(tunnel);
		test_end(fw->w, name);
	}
	posts_close(&posts);
	fault_world_close(fw);
	fw->w->n = 0;
}

/* As many devices as there may be on a machine with containers. */
static void many_test(struct fault_world *fw, const char *name)
{
	static const uint32_t from[] = { 1 }, to[] = { 2 };
	struct kernel_fault fault = { .id = 1, .kind = FAULT_PARTITION, .from = from, .n_from = 1, .to = to, .n_to = 1 };
	struct posts posts;

	fault_world_open(fw);
	posts_open(fw, &posts);
	arm(fw, &fault);
	in_box(fw, 1, "for i in $(seq 50); do echo link add many$i type veth peer name much$i; done | ip -batch -");
	wire_open(fw, true);
	expect(fw->w, wire_is_cut(fw, &posts) && !missed(fw));
	posts_close(&posts);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

/* News that come while no file can be opened. */
static void short_test(struct fault_world *fw, const char *name)
{
	static const uint32_t from[] = { 1 }, to[] = { 2 };
	struct kernel_fault fault = { .id = 1, .kind = FAULT_PARTITION, .from = from, .n_from = 1, .to = to, .n_to = 1 };
	struct rlimit limit, none;
	struct error why = { "" };
	struct posts posts;

	fault_world_open(fw);
	posts_open(fw, &posts);
	arm(fw, &fault);
	wire_open(fw, false);
	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	faults_watch(fw->faults);
	expect(fw->w, faults_missed(fw->faults, &why));
	setrlimit(RLIMIT_NOFILE, &limit);
	expect(fw->w, strstr(why.text, strerror(EMFILE)));
	missed(fw); /* it is tried again */
	expect(fw->w, wire_is_cut(fw, &posts) && !missed(fw));
	posts_close(&posts);
	fault_world_close(fw);
	fw->w->n = 0;
	test_end(fw->w, name);
}

/* So many programs of others stand where packets arrive that there is room for no more. Does nothing on kernels without TCX. */
static void tcx_fill(struct fault_world *fw, int box, const char *device, int links[TCX_MAX])
{
	static const struct bpf_insn code[] = { { .code = 0xb7, .dst_reg = 0, .imm = -1 }, { .code = 0x95 } };
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	must(home >= 0 && !setns(fw->boxes->box[box].netns, CLONE_NEWNET));
	for (int i = 0; i < TCX_MAX; i++) {
		int program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "GPL", code, sizeof(code) / sizeof(*code), NULL);
		union bpf_attr attr;

		must(program >= 0);
		memset(&attr, 0, sizeof(attr));
		attr.link_create.prog_fd = (uint32_t)program;
		attr.link_create.target_ifindex = if_nametoindex(device);
		attr.link_create.attach_type = 46; /* BPF_TCX_INGRESS */
		links[i] = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
		close(program);
	}
	must(!setns(home, CLONE_NEWNET));
	close(home);
}

/* A device where others leave no room for our programs, until they do. */
static void refused_test(struct fault_world *fw, bool guests, const char *name)
{
	static const uint32_t from[] = { 1 }, to[] = { 2 };
	struct kernel_fault fault = { .id = 1, .kind = FAULT_PARTITION, .flags = FAULT_F_ONEWAY, .from = from, .n_from = 1,
				      .to = to, .n_to = 1 };
	struct datagram datagram;
	struct error why = { "" };
	struct posts posts;
	int links[TCX_MAX];

	fw->guests = guests;
	fault_world_open(fw);
	posts_open(fw, &posts);
	arm(fw, &fault);
	wire_open(fw, false);
	in_box(fw, 1, "tc qdisc add dev late1 ingress"); /* another one than we make, at the same place */
	tcx_fill(fw, 1, "late1", links);
	faults_watch(fw->faults);
	missed(fw);
	post_to(fw, &posts, "::ffff:10.99.0.2");
	expect(fw->w, post_read(&posts, 1, 5000, &datagram));
	expect(fw->w, faults_missed(fw->faults, &why) && strstr(why.text, "late1"));
	in_box(fw, 1, "tc qdisc del dev late1 ingress");
	for (int i = 0; i < TCX_MAX; i++)
		if (links[i] >= 0)
			close(links[i]);
	missed(fw); /* it is tried again */
	expect(fw->w, wire_is_cut(fw, &posts) && !missed(fw));
	posts_close(&posts);
	fault_world_close(fw);
	fw->guests = false;
	fw->w->n = 0;
	test_end(fw->w, name);
}

int main(void)
{
	struct fault_world fw = { .client = client_main };
	int status;

	if (!fault_world_new(&fw, &status))
		return status;
	late_test(&fw, true, "a partition holds on a second wire between the boxes, too, that came later");
	late_test(&fw, false, "what passed there before the first look is told");
	tunnel_test(&fw, "what passes a device without Ethernet headers while faults are on is told");
	many_test(&fw, "a partition holds on the wire of a box that has 100 other devices");
	short_test(&fw, "news of devices that came while no file could be opened are not lost");
	refused_test(&fw, false, "what passes a device to which nothing can be attached is told; it is tried again");
	refused_test(&fw, true, "in a namespace that is not ours alone, too");
	world_free(fw.w);
	return 0;
}
