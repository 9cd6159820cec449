/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The agent when its collector is away, slow, or another one than before. This program plays the collector, and, with
 * arguments, the programs that the agent starts.
 */
#include "tests/kernel/collector.h"

#include <netdb.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>

#define ROUNDS 4000
#define ROUNDS_MANY 75000 /* more than the kernel's ring buffer and lanes hold */

/* ---- programs ---- */

static int program_server(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), client;
	char byte;

	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 5) < 0)
		return 1;
	client = accept(listener, NULL, NULL);
	while (read(client, &byte, 1) == 1)
		if (write(client, &byte, 1) != 1)
			return 1;
	return 0;
}

static int program_client(const char *port, int rounds)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *found;
	char byte;
	int fd;

	if (getaddrinfo("s1", port, &hints, &found) != 0)
		return 2;
	fd = socket(found->ai_family, SOCK_STREAM, 0);
	if (connect(fd, found->ai_addr, found->ai_addrlen) < 0)
		return 3;
	freeaddrinfo(found);
	for (int i = 0; i < rounds; i++)
		if (write(fd, "x", 1) != 1 || read(fd, &byte, 1) != 1)
			return 4;
	return 0;
}

/* ---- a collector that goes and comes back ---- */

static void go_away(void)
{
	zmq_close(bop.socket);
	bop.socket = NULL;
}

static void come_back(void)
{
	uint64_t hellos = bop.hellos;

	socket_open();
	hear_hello(hellos + 1);
}

/* The agent has waited for its end when there is no such process any more. */
static void wait_gone(pid_t pid)
{
	while (kill(pid, 0) == 0)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void wait_file(const char *path)
{
	while (access(path, F_OK) < 0)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* Size of the agent's spool file, -1: it has none. */
static long spool_size(void)
{
	char path[300], to[PATH_MAX];
	struct dirent *entry;
	struct stat st;
	long size = -1;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", bop.agent);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", bop.agent, entry->d_name);
		n = readlink(path, to, sizeof(to) - 1);
		to[n > 0 ? n : 0] = '\0';
		if (!strstr(to, "/spool (deleted)"))
			continue;
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
		ck_assert_int_eq(size, -1);
		size = st.st_size;
	}
	closedir(dir);
	return size;
}

static void wait_spool(void)
{
	while (spool_size() <= 0)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* Server and client talk while the collector is away. Returns when the client has ended. */
static void talk(int rounds)
{
	struct message_order server = start_order("server", "s1", (char *[]){ self, "--server", "7000", NULL });
	char number[16];
	pid_t client;

	snprintf(number, sizeof(number), "%d", rounds);
	server.start.ready_port = 7000;
	order(server);
	wait_said("ready server");
	client = start("client", "s2", (char *[]){ self, "--client", "7000", number, NULL });
	go_away();
	wait_gone(client);
}

static void finish(void)
{
	order(plain_order(ORDER_FINISH));
	ck_assert(bop.head.last);
}

/* All that the client sent and got, each once. */
static void all_there(int rounds)
{
	size_t sent = 0, got = 0;

	for (size_t i = 0; i < bop.trace.n_events; i++) {
		const struct event *event = &bop.trace.events[i];

		if (!event->process || strcmp(bop.trace.processes[event->process].name, "client") != 0)
			continue;
		sent += event->kind == EVENT_SEND;
		got += event->kind == EVENT_RECV && event->value > 0;
	}
	ck_assert_uint_eq(bop.head.lost, 0);
	ck_assert_uint_eq(sent, rounds);
	ck_assert_uint_eq(got, rounds);
}

/* ---- tests ---- */

/* A notice that found no collector comes when there is one again. */
START_TEST(notice_kept)
{
	char script[256];
	pid_t pid;

	begin();
	snprintf(script, sizeof(script), "while [ ! -e %s/go ]; do sleep 0.01; done; rm %s/go; exit 3", inbox_base, inbox_base);
	pid = start_shell("a", script);
	go_away();
	snprintf(script, sizeof(script), "%s/go", inbox_base);
	write_file(script, "");
	wait_gone(pid);
	come_back();
	wait_said("exited a 0x300");
	order(mark_order("on it goes"));
	ck_assert_uint_eq(bop.n_said, 0);
	finish();
}
END_TEST

/* An order whose reply got lost is not obeyed twice, and its reply comes again. */
START_TEST(order_once)
{
	struct message_order once;
	char script[256], path[128], line[16] = "";
	uint64_t id;
	FILE *f;

	begin();
	snprintf(path, sizeof(path), "%s/done", inbox_base);
	snprintf(script, sizeof(script), "echo x >>%s", path);
	once = start_order("a", "s1", (char *[]){ "sh", "-c", script, NULL });
	id = order_send(once);
	wait_file(path);
	go_away();
	come_back(); /* sends the order again */
	ck_assert_int_eq(wait_reply(id, NULL, 0, NULL), 0);
	order(mark_order("on it goes"));
	finish();
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(line, 1, sizeof(line), f), 2);
	fclose(f);
	unlink(path);
	ck_assert_uint_eq(count(EVENT_START, "a"), 1);
}
END_TEST

/* What does not fit into memory goes to a file that only root can read and that has no name; nothing is lost. */
START_TEST(spooled)
{
	agent_replace("32K", "16M");
	begin();
	talk(ROUNDS);
	wait_spool();
	come_back();
	finish();
	ck_assert_str_eq(bop.warning, "");
	all_there(ROUNDS);
	begin(); /* the disk has its space back when all was taken */
	ck_assert_int_eq(spool_size(), 0);
}
END_TEST

static void begin_deferred(void)
{
	struct message_order order_ = begin_order((char *[]){ "s1", "s2", NULL });

	order_.begin.deferred = true;
	order(order_);
}

/* Deferred: readiness is seen; what the programs do then becomes events only at the end, in order with the marks. */
START_TEST(deferred)
{
	uint64_t before;
	size_t i, j;

	begin_deferred();
	talk(ROUNDS);
	come_back();
	wait_said("exited client 0");
	order(mark_order("outcome"));
	before = bop.trace.n_events;
	ck_assert_uint_lt(before, 100);
	ck_assert_ptr_nonnull(find(EVENT_LISTEN, "server", 0));
	finish();
	all_there(ROUNDS);
	for (i = 0; bop.trace.events[i].kind != EVENT_MARK; i++)
		ck_assert_uint_lt(i, bop.trace.n_events);
	for (j = bop.trace.n_events - 1; bop.trace.events[j].kind != EVENT_SEND; j--)
		;
	ck_assert_uint_lt(j, i);
}
END_TEST

/* The same with little memory: the records go to the file, and become batches that share it. */
START_TEST(deferred_spooled)
{
	agent_replace("64K", "16M");
	begin_deferred();
	talk(ROUNDS);
	while (spool_size() < 100 * ROUNDS)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	come_back();
	finish();
	all_there(ROUNDS);
	ck_assert_str_eq(bop.warning, "");
}
END_TEST

/* No room for all the records: counted and shown, and what had room is whole. */
START_TEST(deferred_full)
{
	uint64_t lost = 0;

	agent_replace("64K", "1M");
	begin_deferred();
	talk(ROUNDS_MANY);
	come_back();
	finish();
	ck_assert_ptr_nonnull(strstr(bop.warning, "--spool"));
	for (size_t i = 0; i < bop.trace.n_events; i++)
		if (bop.trace.events[i].kind == EVENT_LOST)
			lost += bop.trace.events[i].value;
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_eq(bop.head.lost, lost);
}
END_TEST

/* A spool that is full: said in words; what then finds no room is counted, shown as LOST, and the rest is whole. */
START_TEST(spool_full)
{
	uint64_t lost = 0;

	agent_replace("64K", "64K");
	begin();
	talk(ROUNDS_MANY);
	ck_assert_int_le(spool_size(), 64 << 10);
	come_back();
	finish();
	ck_assert_msg(strstr(bop.warning, "--spool") && strstr(bop.warning, "65536"), "'%s'", bop.warning);
	for (size_t i = 0; i < bop.trace.n_events; i++)
		if (bop.trace.events[i].kind == EVENT_LOST)
			lost += bop.trace.events[i].value;
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_eq(bop.head.lost, lost);
}
END_TEST

/* A disk that is full: said in words. As long as the kernel's buffer has room nothing is lost. */
START_TEST(disk_full)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/small", inbox_base);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("none", path, "tmpfs", 0, "size=64k"), 0);
	setenv("BOP_TMPDIR", path, 1);
	agent_replace("16K", "16M");
	begin();
	talk(ROUNDS);
	come_back();
	finish();
	ck_assert_msg(strstr(bop.warning, path) && strstr(bop.warning, "disk is full"), "'%s'", bop.warning);
	all_there(ROUNDS);
	order(plain_order(ORDER_QUIT));
	agent_wait(0);
	ck_assert_int_eq(umount(path), 0);
	ck_assert_int_eq(rmdir(path), 0);
	setenv("BOP_TMPDIR", inbox_base, 1);
}
END_TEST

/* A collector process that took the place of the one before gets everything of the run, which is over then. */
START_TEST(another_collector)
{
	struct message message;
	pid_t pid;

	begin();
	pid = start_shell("a", "while :; do sleep 1000; done");
	order(mark_order("before"));
	go_away();
	courier_fini(&bop.courier);
	memset(bop.session, 2, sizeof(bop.session));
	come_back();
	while (!bop.head.last)
		ck_assert(!receive(&message));
	wait_gone(pid);
	ck_assert_ptr_nonnull(find(EVENT_EXIT, "a", 0));
	ck_assert_str_eq(bop.trace.texts[find(EVENT_MARK, "", 0)->text], "before");
	trace_fini(&bop.trace);
	bop.batches = 0;
	bop.head.last = false;
	begin();
	finish();
}
END_TEST

/*
 * A deferred run whose collector was replaced becomes batches only as fast as the new one takes them; meanwhile the agent
 * goes on to hear orders, and a Begin waits until the run before is over.
 */
START_TEST(abandoned_deferred)
{
	char text[512] = "";
	uint64_t id;
	int code;

	agent_replace("64K", "16M");
	begin_deferred();
	talk(ROUNDS_MANY);
	bop.acknowledge = false;
	courier_fini(&bop.courier);
	memset(bop.session, 3, sizeof(bop.session));
	come_back();
	do /* before it has seen that this is another one, it obeys */
		code = wait_reply(order_send(mark_order("x")), text, sizeof(text), NULL);
	while (!code);
	ck_assert_int_eq(code, -EINVAL);
	ck_assert_msg(strstr(text, "the run is ending"), "'%s'", text);
	id = order_send(begin_order((char *[]){ "no box's name", NULL }));
	bop.acknowledge = true;
	acknowledge(bop.batches);
	ck_assert_int_lt(wait_reply(id, text, sizeof(text), NULL), 0);
	ck_assert_msg(strstr(text, "no box's name"), "'%s'", text);
	while (!bop.head.last)
		ck_assert(!receive(&(struct message){ 0 }));
	ck_assert_uint_gt(bop.trace.n_events, ROUNDS_MANY);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tc;

	if (argc == 3 && !strcmp(argv[1], "--server"))
		return program_server(atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "--client"))
		return program_client(argv[2], atoi(argv[3]));
	find_programs();
	suite = suite_create("agent_link");
	tc = tcase_create("agent_link");
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, notice_kept);
	tcase_add_test(tc, order_once);
	tcase_add_test(tc, spooled);
	tcase_add_test(tc, deferred);
	tcase_add_test(tc, deferred_spooled);
	tcase_add_test(tc, deferred_full);
	tcase_add_test(tc, spool_full);
	tcase_add_test(tc, disk_full);
	tcase_add_test(tc, another_collector);
	tcase_add_test(tc, abandoned_deferred);
	suite_add_tcase(suite, tc);
	return inbox_main(suite);
}
