// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Devices that come into boxes while faults are on: what passes them meets the faults as it does everywhere, and what nobody could
 * look at is told.
 */
#include "tests/kernel/fault_posts.h"

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
	late_test(&fw, true, "a partition holds on a second wire between the boxes, too, that came later");
	late_test(&fw, false, "what passed there before the first look is told");
	tunnel_test(&fw, "what passes a device without Ethernet headers while faults are on is told");
	world_free(fw.w);
	return 0;
}
