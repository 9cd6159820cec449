/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The agent as a whole: this program plays the collector, and, with arguments, the programs that the agent starts.
 */
#include "tests/kernel/collector.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* ---- programs ---- */

static int program_server(int port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int listener = socket(AF_INET6, SOCK_STREAM, 0), client, off = 0, one = 1;
	char buffer[100];
	ssize_t n;

	setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 5) < 0)
		return 1;
	while ((client = accept(listener, NULL, NULL)) >= 0) {
		while ((n = read(client, buffer, sizeof(buffer))) > 0)
			if (write(client, buffer, n) != n)
				return 1;
		close(client);
	}
	return 1;
}

static int program_client(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	char buffer[5];
	int fd;

	if (getaddrinfo(host, port, &hints, &found) != 0)
		return 2;
	fd = socket(found->ai_family, SOCK_STREAM, 0);
	if (connect(fd, found->ai_addr, found->ai_addrlen) < 0)
		return 3;
	freeaddrinfo(found);
	for (int i = 0; i < 3; i++)
		if (write(fd, "hello", 5) != 5 || recv(fd, buffer, 5, MSG_WAITALL) != 5)
			return 4;
	puts("client is done");
	return 0;
}

/* Boxes, two programs that talk, an end: everything that happened is in the stream, which is whole when Finish is done. */
START_TEST(whole_run)
{
	struct message_order server;
	const struct trace_end *end;
	uint64_t end_of_output;

	begin();
	server = start_order("server", "s1", (char *[]){ self, "--server", "7000", NULL });
	server.start.ready_port = 7000;
	order(server);
	wait_said("ready server");
	order(mark_order("workload"));
	start("client", "s2", (char *[]){ self, "--client", "s1", "7000", NULL });
	wait_said("exited client 0");
	order(plain_order(ORDER_FINISH));
	ck_assert(bop.head.last);
	ck_assert_uint_eq(bop.head.lost, 0);
	ck_assert_uint_gt(bop.head.emitted, 20);
	ck_assert_uint_eq(bop.trace.n_boxes, 2);
	ck_assert_str_eq(bop.trace.boxes[2].name, "s2");
	ck_assert_str_eq(bop.trace.boxes[2].address, "10.83.0.2");
	ck_assert_str_eq(bop.trace.processes[1].name, "server");
	ck_assert_str_eq(bop.trace.processes[2].name, "client");
	ck_assert_ptr_nonnull(strstr(bop.trace.processes[2].command, "--client s1 7000"));
	ck_assert_uint_eq(count(EVENT_START, "client"), 1);
	ck_assert_uint_eq(count(EVENT_CONNECT, "client"), 1);
	ck_assert_uint_eq(count(EVENT_ACCEPT, "server"), 1);
	ck_assert_uint_eq(count(EVENT_SEND, "client"), 3);
	ck_assert_uint_eq(count(EVENT_SEND, "server"), 3);
	ck_assert_uint_eq(count(EVENT_MARK, ""), 1);
	ck_assert_uint_eq(count(EVENT_LOST, ""), 0);
	ck_assert_int_eq(find(EVENT_EXIT, "client", 0)->value, 0);
	ck_assert_int_eq(find(EVENT_EXIT, "server", 0)->value, SIGKILL);
	ck_assert_int_eq(find(EVENT_LISTEN, "server", 0)->value, 7000);
	for (uint32_t k = 0; k < 3; k++) {
		const struct event *send = find(EVENT_SEND, "client", k);

		ck_assert_uint_eq(send->message, k + 1);
		ck_assert_uint_eq(send->pos, 5 * k);
		ck_assert_int_eq(send->value, 5);
	}
	end = &bop.trace.ends[find(EVENT_CONNECT, "client", 0)->end];
	ck_assert_str_eq(end->target, "s1:7000");
	ck_assert_uint_eq(end->ordinal, 1);
	ck_assert(end->keyed && end->finished && end->sent == 15 && end->received == 15);
	ck_assert_uint_eq(end->first_local, bop.trace.ends[find(EVENT_ACCEPT, "server", 0)->end].first_remote);
	ck_assert_uint_eq(output_size("client", 1, &end_of_output), strlen("client is done\n"));
}
END_TEST

/* An order that makes no sense in its state, or that cannot be done, gets one line that says why; the agent lives on. */
START_TEST(refusals)
{
	char *sleeper[] = { "sleep", "1000", NULL }, *missing[] = { "no-such-program", NULL }, *nothing[] = { NULL };
	struct message_order bad;

	refused(start_order("a", "s1", sleeper), -EINVAL, "no run");
	refused(plain_order(ORDER_FINISH), -EINVAL, "no run");
	refused(mark_order("x"), -EINVAL, "no run");
	refused(begin_order((char *[]){ "s 1", NULL }), -EINVAL, "s 1");
	refused(begin_order((char *[]){ "s1", "s1", NULL }), -EINVAL, "s1");
	refused(begin_order((char *[]){ NULL }), -EINVAL, "box");
	begin();
	refused(begin_order((char *[]){ "s1", NULL }), -EBUSY, "already");
	refused(start_order("a", "nowhere", sleeper), -ENOENT, "nowhere");
	refused(start_order("a", "s1", missing), -ENOENT, "no-such-program");
	refused(start_order("a", "s1", nothing), -EINVAL, "program");
	refused(start_order("", "s1", sleeper), -EINVAL, "name");
	refused(start_order("a>b", "s1", sleeper), -EINVAL, "a>b");
	refused(start_order("a\nb", "s1", sleeper), -EINVAL, "a?b");
	bad = start_order("a", "s1", sleeper);
	bad.start.user = "no-such-user";
	refused(bad, -ENOENT, "no-such-user");
	bad = start_order("a", "s1", sleeper);
	bad.start.directory = "work";
	refused(bad, -EINVAL, "work");
	start("a", "s1", sleeper);
	refused(start_order("a", "s2", sleeper), -EEXIST, "running");
	refused(signal_order("b", SIGTERM), -ESRCH, "b");
	refused(signal_order("a", 1000), -EINVAL, "1000");
	refused(signal_order("a", -1), -EINVAL, "-1");
	order(signal_order("a", SIGTERM));
	wait_said("exited a 0xf");
	refused(signal_order("a", SIGTERM), -ESRCH, "a");
	start("a", "s1", sleeper);
	order(plain_order(ORDER_FINISH));
	ck_assert_ptr_nonnull(find(EVENT_EXIT, "a", 0));
	refused(plain_order(ORDER_FINISH), -EINVAL, "no run");
}
END_TEST

/* Frames that are no messages are left alone. */
START_TEST(garbage)
{
	unsigned char bytes[300];

	srand(1);
	for (int i = 0; i < 200; i++) {
		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = rand();
		ck_assert_int_ge(zmq_send(bop.socket, bop.identity, bop.identity_size, ZMQ_SNDMORE), 0);
		ck_assert_int_ge(zmq_send(bop.socket, bytes, rand() % sizeof(bytes), 0), 0);
	}
	begin();
	order(plain_order(ORDER_FINISH));
}
END_TEST

/* A second run on the same agent is like the first: names, addresses, ordinals and batch numbers begin anew. */
START_TEST(run_after_run)
{
	for (int i = 0; i < 3; i++) {
		struct message_order server = start_order("server", "s1", (char *[]){ self, "--server", "7000", NULL });

		trace_fini(&bop.trace);
		bop.batches = 0;
		bop.head.last = false;
		begin();
		server.start.ready_port = 7000;
		order(server);
		wait_said("ready server");
		start("client", "s2", (char *[]){ self, "--client", "s1.v6", "7000", NULL });
		wait_said("exited client 0");
		order(plain_order(ORDER_FINISH));
		wait_said("exited server 0x9");
		ck_assert(bop.head.last && bop.head.lost == 0);
		ck_assert_str_eq(bop.trace.processes[1].name, "server");
		ck_assert_str_eq(bop.trace.processes[2].name, "client");
		ck_assert_uint_eq(bop.trace.ends[find(EVENT_CONNECT, "client", 0)->end].ordinal, 1);
		ck_assert_uint_eq(count(EVENT_SEND, "server"), 3);
	}
}
END_TEST

/* Helpers: what they say comes with their end, and neither they nor their connections are in the trace. */
START_TEST(quiet_and_untraced)
{
	struct message_order helper = start_order(":check", "s2", (char *[]){ self, "--client", "s1", "7000", NULL });
	struct message_order server = start_order("server", "s1", (char *[]){ self, "--server", "7000", NULL });

	begin();
	server.start.ready_port = 7000;
	order(server);
	wait_said("ready server");
	helper.start.untraced = helper.start.quiet = true;
	for (int i = 0; i < 3; i++) {
		order(helper);
		wait_said("exited :check 0");
		ck_assert_str_eq(bop.output, "client is done\n");
	}
	helper.start.argv = (char *[]){ "sh", "-c", "echo out; echo err >&2; head -c 1000000 /dev/zero; exit 3", NULL };
	order(helper);
	wait_said("exited :check 0x300");
	ck_assert_int_eq(strncmp(bop.output, "out\nerr\n", 8), 0);
	order(plain_order(ORDER_FINISH));
	ck_assert_uint_eq(bop.trace.n_processes, 1);
	ck_assert_uint_eq(count(EVENT_CONNECT, ":check"), 0);
}
END_TEST

/* 50 MB on stdout neither hold the program up nor fill the store, and 20 that write at once still fit into batches. */
START_TEST(much_output)
{
	char name[16], wanted[32];
	uint64_t end;

	begin();
	start_shell("big", "head -c 50000000 /dev/zero; echo end >&2");
	wait_said("exited big 0");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		start_shell(name, "head -c 2000000 /dev/zero; head -c 2000000 /dev/zero >&2; exec sleep 1000");
	}
	snprintf(wanted, sizeof(wanted), "exited %s %#x", name, SIGTERM);
	order(signal_order(name, SIGTERM));
	wait_said(wanted);
	order(plain_order(ORDER_FINISH));
	ck_assert(bop.head.last);
	ck_assert_uint_eq(output_size("big", 1, &end), 2 * OUTPUT_KEEP);
	ck_assert_uint_eq(end, 50000000);
	ck_assert_uint_eq(output_size("big", 2, &end), 4);
}
END_TEST

/* What is not acknowledged is sent again, from the first on, to a collector that was away, and counts once. */
START_TEST(sent_again)
{
	bop.acknowledge = false;
	begin();
	order(mark_order("one"));
	while (bop.batches < 2) {
		struct message message;

		order(mark_order("more"));
		ck_assert(!receive(&message));
	}
	zmq_close(bop.socket);
	/* it has seen nothing */
	trace_fini(&bop.trace);
	bop.batches = 0;
	socket_open();
	bop.acknowledge = true;
	hear_hello(2);
	order(plain_order(ORDER_FINISH));
	ck_assert(bop.head.last);
	ck_assert_uint_eq(bop.trace.n_boxes, 2);
	ck_assert_str_eq(bop.trace.texts[find(EVENT_MARK, "", 0)->text], "one");
}
END_TEST

/* Not more than the window is under way without an acknowledgement; Finish is done only when the last batch has left. */
START_TEST(window)
{
	struct message message;
	uint64_t finish;

	bop.acknowledge = false;
	begin();
	while (bop.batches < 64) {
		order(mark_order("x"));
		if (bop.batches < 64)
			ck_assert(!receive(&message));
	}
	order(mark_order("last"));
	finish = order_send(plain_order(ORDER_FINISH));
	refused(mark_order("late"), -EINVAL, "ending");
	ck_assert_uint_eq(bop.batches, 64);
	ck_assert(!bop.head.last);
	bop.acknowledge = true;
	acknowledge(64);
	ck_assert_int_eq(wait_reply(finish, NULL, 0, NULL), 0);
	ck_assert(bop.head.last);
}
END_TEST

static void cgroup_of(pid_t pid, char *ret_path, size_t size)
{
	char path[64], line[256] = "", root[200], *own;
	struct claim mount;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) && strncmp(line, "0::", 3) != 0)
		;
	fclose(f);
	own = strstr(line, "/bop.run.");
	ck_assert_ptr_nonnull(own);
	own[strcspn(own, "\n")] = '\0';
	ck_assert_int_eq(cgroup_find_root(root, sizeof(root), &mount, NULL), 0);
	snprintf(ret_path, size, "%s%s", root, own);
	ck_assert_int_eq(access(ret_path, F_OK), 0);
}

/* SIGTERM ends the agent in order: nothing that it started or made is left, whatever ignores signals or hides. */
START_TEST(terminated)
{
	char path[512];
	pid_t pid;

	begin();
	pid = start_shell("a", "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; while :; do sleep 1000; done' & "
			       "while :; do sleep 1000; done");
	cgroup_of(pid, path, sizeof(path));
	kill(bop.agent, SIGTERM);
	agent_wait(0);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(kill(pid, 0), -1);
}
END_TEST

/* After SIGKILL of an agent `tfj clean` removes what it left, a living agent's things stay, and its run goes on. */
START_TEST(killed_and_cleaned)
{
	char dead[512], command[PATH_MAX + 64], said[8192] = "";
	size_t n;
	pid_t pid;
	FILE *f;

	begin();
	pid = start_shell("a", "setsid sleep 1000 & exec sleep 1000");
	cgroup_of(pid, dead, sizeof(dead));
	kill(bop.agent, SIGKILL);
	agent_wait(SIGKILL);
	zmq_close(bop.socket);
	socket_open();
	bop.hellos = 0;
	snprintf(command, sizeof(command), "'%s' clean", tfj);
	f = popen(command, "re");
	ck_assert_ptr_nonnull(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	ck_assert_int_eq(pclose(f), 0);
	/* the cgroup may have been found by an agent that somebody else started in between */
	ck_assert_msg(strstr(said, inbox_base), "'%s' does not name what was in %s", said, inbox_base);
	ck_assert_int_eq(access(dead, F_OK), -1);
	bop.agent = agent_start("64M", "512M");
	hear_hello(1);
	bop.batches = 0;
	begin();
	pid = start_shell("b", "exec sleep 1000");
	cgroup_of(pid, dead, sizeof(dead));
	strcat(command, " >/dev/null");
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(kill(pid, 0), 0);
	ck_assert_int_eq(access(dead, F_OK), 0);
	order(plain_order(ORDER_FINISH));
}
END_TEST

/* Quit in the middle of a run ends everything, and the agent with status 0. */
START_TEST(quit_in_a_run)
{
	char path[512];
	pid_t pid;

	begin();
	pid = start_shell("a", "exec sleep 1000");
	cgroup_of(pid, path, sizeof(path));
	order(plain_order(ORDER_QUIT));
	agent_wait(0);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

/* A program that moved itself out of the run's cgroup, as container tools do, ends with the run all the same. */
START_TEST(left_the_cgroup)
{
	char path[512];
	pid_t pid;
	FILE *f;

	begin();
	pid = start_shell("a", "exec sleep 1000");
	cgroup_of(pid, path, sizeof(path));
	strcpy(strrchr(path, '/'), "/cgroup.procs");
	f = fopen(path, "w");
	ck_assert(f && fprintf(f, "%d\n", pid) > 0 && !fclose(f));
	order(plain_order(ORDER_FINISH));
	ck_assert_int_eq(kill(pid, 0), -1);
	ck_assert_int_eq(bop.head.lost, 0);
}
END_TEST

/* A run's directory that is ours goes with all that programs of other users left in it, in sticky folders, too. */
START_TEST(sticky_folders)
{
	char directory[128], work[160];
	struct message_order begin_ = begin_order((char *[]){ "s1", NULL }), start_;

	snprintf(directory, sizeof(directory), "%s/bop.run.00112233445566ff", inbox_base);
	snprintf(work, sizeof(work), "%s/work", directory);
	begin_.begin.directory = directory;
	order(begin_);
	start_ = start_order("a", "s1", (char *[]){ "sh", "-c", "mkdir -m 1777 d && touch d/x && mkdir -m 1777 d/e", NULL });
	start_.start.user = "nobody";
	start_.start.directory = work;
	order(start_);
	wait_said("exited a 0");
	ck_assert_int_eq(access(work, F_OK), 0);
	order(plain_order(ORDER_FINISH));
	order(plain_order(ORDER_QUIT));
	agent_wait(0);
	ck_assert_int_lt(access(directory, F_OK), 0);
}
END_TEST

/* A collector that does not want the agent ends it, with the reason. */
START_TEST(not_wanted)
{
	send_message(&(struct message){ .kind = MESSAGE_REFUSED, .text = "another version" });
	agent_wait(3 << 8);
}
END_TEST

/* The programs of an agent, their users' signals and their ends: killed, stopped by themselves, with a status. */
START_TEST(ends)
{
	begin();
	start_shell("a", "exit 7");
	wait_said("exited a 0x700");
	start_shell("b", "kill -ABRT $$");
	wait_said("exited b 0x6");
	start_shell("c", "(sleep 0.2; exit 5) & wait $!");
	wait_said("exited c 0x500");
	start_shell("c", "exit 1");
	wait_said("exited c 0x100");
	order(plain_order(ORDER_FINISH));
	ck_assert_ptr_nonnull(find(EVENT_EXIT, "c.1", 0));
	ck_assert_ptr_nonnull(find(EVENT_WAIT, "c", 0));
	ck_assert_ptr_nonnull(find(EVENT_START, "c'2", 0));
}
END_TEST

/* With --parent-death the agent ends, and its run with it, when whoever started it was killed. */
START_TEST(parent_death)
{
	char path[512];
	struct pollfd wait;
	int pidfd, report[2];
	pid_t parent, child;

	order(plain_order(ORDER_QUIT));
	agent_wait(0);
	ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	parent = fork();
	if (!parent) {
		child = fork();
		if (!child) {
			execl(tfj, "tfj", "--collector", bop.url, "--parent-death", NULL);
			_exit(126);
		}
		if (write(report[1], &child, sizeof(child)) != sizeof(child))
			_exit(1);
		pause();
	}
	ck_assert_int_eq(read(report[0], &child, sizeof(child)), sizeof(child));
	hear_hello(2);
	begin();
	cgroup_of(start_shell("a", "trap '' TERM; while :; do sleep 1000; done"), path, sizeof(path));
	pidfd = syscall(SYS_pidfd_open, child, 0);
	kill(parent, SIGKILL);
	wait = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	ck_assert_int_eq(poll(&wait, 1, -1), 1);
	ck_assert_int_eq(access(path, F_OK), -1);
	close(pidfd);
}
END_TEST

/* Arguments that make no sense: status 3 and one line on stderr that says what would. */
START_TEST(arguments)
{
	static const char *const cases[][2] = {
		{ "--collector tcp://127.0.0.1:5555", "CURVE" }, { "--collector udp://x", "ipc://" },
		{ "--collector ipc://", "ipc://" },		 { "", "--help" },
		{ "clear", "clear" },				 { "probe probe", "--help" },
		{ "--collector tcp://127.0.0.1:1 --key /dev/null", "--server-key" },
		{ "--collector tcp://127.0.0.1:1 --server-key x --key /dev/null", "plain file" },
		{ "--collector tcp://127.0.0.1:1 --server-key x --key /nonexistent", "bop keys make" },
	};
	char command[PATH_MAX + 64], said[4096];
	size_t n;
	FILE *f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(command, sizeof(command), "'%s' %s 2>&1 >/dev/null", tfj, cases[i][0]);
		f = popen(command, "re");
		ck_assert_ptr_nonnull(f);
		n = fread(said, 1, sizeof(said) - 1, f);
		said[n] = '\0';
		ck_assert_int_eq(pclose(f), 3 << 8);
		ck_assert_msg(strstr(said, cases[i][1]) && strchr(said, '\n') == said + n - 1 && !strncmp(said, "tfj: ", 5),
			      "'%s' said '%s'", cases[i][0], said);
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tc;

	if (argc == 3 && !strcmp(argv[1], "--server"))
		return program_server(atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "--client"))
		return program_client(argv[2], argv[3]);
	find_programs();
	suite = suite_create("agent");
	tc = tcase_create("agent");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, whole_run);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, garbage);
	tcase_add_test(tc, run_after_run);
	tcase_add_test(tc, quiet_and_untraced);
	tcase_add_test(tc, much_output);
	tcase_add_test(tc, sent_again);
	tcase_add_test(tc, window);
	tcase_add_test(tc, terminated);
	tcase_add_test(tc, killed_and_cleaned);
	tcase_add_test(tc, quit_in_a_run);
	tcase_add_test(tc, left_the_cgroup);
	tcase_add_test(tc, sticky_folders);
	tcase_add_test(tc, not_wanted);
	tcase_add_test(tc, ends);
	tcase_add_test(tc, parent_death);
	tcase_add_test(tc, arguments);
	suite_add_tcase(suite, tc);
	return inbox_main(suite);
}
