/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * torture server PORT            ways listen at PORT + 1 on; PORT itself is for asking it to begin and end one
 * torture client PORT ADDRESS ADDRESS6 [WAY]...
 * torture older server PORT, torture older client PORT ADDRESS ADDRESS6 WAY...
 * torture list
 *
 * The client runs one way after the other. For each it asks the server for a process, makes one itself, and waits for
 * both. Exit status: 0 all ways went as planned (whether they were traced well is not for us to say), else 1.
 *
 * older: all ways at once. Each makes its connection and moves bytes over it that nobody counts; then all wait, `parked` is
 * printed, and a line on the client's stdin lets them go on, and count.
 */
#include "tests/torture/torture.h"

#include <arpa/inet.h>
#include <pthread.h>

static const struct way *const tables[] = { ways_move, ways_uring, ways_share, ways_open, ways_close };
char data[DATA_SIZE];

#define WAY_SECONDS 30
#define OLDER_SECONDS 120 /* all of them wait until they are attached */
#define BEFORE_SENT 1000
#define BEFORE_RECEIVED 500

int listen_any(uint16_t port)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	must(fd >= 0);
	must(!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	must(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	must(!listen(fd, 64));
	return fd;
}

int connect_text(int fd, const char *text, uint16_t port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		return connect(fd, (struct sockaddr *)&four, sizeof(four));
	must(inet_pton(AF_INET6, text, &six.sin6_addr) == 1);
	return connect(fd, (struct sockaddr *)&six, sizeof(six));
}

/* Before anybody looks: bytes in both directions, that are not counted. */
static void move_before(int fd, ssize_t sends, ssize_t receives)
{
	char buf[BEFORE_SENT];

	must(send(fd, data, (size_t)sends, MSG_NOSIGNAL) == sends);
	must(recv(fd, buf, (size_t)receives, MSG_WAITALL) == receives);
}

/* The connector waits at the gate, the acceptor for the byte that it then sends. */
static void park(struct side *side, int fd)
{
	char byte;

	move_before(fd, BEFORE_SENT, BEFORE_RECEIVED);
	must(write(side->parked, "", 1) == 1);
	must(read(side->gate, &byte, 1) == 0);
	side->older = false;
	send_all(fd, 1);
}

int side_connect(struct side *side)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && !connect_text(fd, side->peer, side->port));
	count_connection(fd);
	if (side->older)
		park(side, fd);
	return fd;
}

int side_accept(struct side *side)
{
	int fd = count_accepted(accept4(side->listener, NULL, NULL, SOCK_CLOEXEC));

	if (side->older) {
		side->older = false;
		move_before(fd, BEFORE_RECEIVED, BEFORE_SENT);
		recv_all(fd, 1);
	}
	return fd;
}

void wait_for_fd(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	must(poll(&p, 1, WAY_SECONDS * 1000) == 1);
}

void send_all(int fd, size_t size)
{
	while (size) {
		ssize_t n = count_sent(fd, send(fd, data, size < DATA_SIZE ? size : DATA_SIZE, MSG_NOSIGNAL));

		must(n > 0);
		size -= (size_t)n;
	}
}

void recv_all(int fd, size_t size)
{
	static __thread char buf[65536];

	while (size) {
		ssize_t n = count_received(fd, recv(fd, buf, size < sizeof(buf) ? size : sizeof(buf), 0));

		must(n > 0);
		size -= (size_t)n;
	}
}

void drain(int fd)
{
	static __thread char buf[65536];
	ssize_t n;

	while ((n = count_received(fd, recv(fd, buf, sizeof(buf), 0))) > 0)
		;
	must(!n);
}

void finish(int fd)
{
	must(!shutdown(fd, SHUT_WR));
	drain(fd);
	close(fd);
}

struct thread_arg {
	void *(*main)(void *);
	void *arg;
	unsigned number;
};

static void *thread_main(void *p)
{
	struct thread_arg arg = *(struct thread_arg *)p;

	free(p);
	count_thread(arg.number);
	return arg.main(arg.arg);
}

pthread_t thread_start(void *(*main)(void *), void *arg)
{
	static unsigned threads;
	static pid_t process;
	struct thread_arg *start = malloc(sizeof(*start));
	pthread_t thread;

	if (process != getpid())
		threads = 0;
	process = getpid();
	must(start);
	*start = (struct thread_arg){ main, arg, ++threads };
	must(!pthread_create(&thread, NULL, thread_main, start));
	return thread;
}

static unsigned child_seconds = WAY_SECONDS;

pid_t child_start(void (*main)(void *), void *arg)
{
	pid_t pid = fork();

	must(pid >= 0);
	if (pid)
		return pid;
	alarm(child_seconds);
	count_forked();
	main(arg);
	count_end();
	_exit(0);
}

void child_end(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0) == pid && !status);
}

static const struct way *way_at(unsigned index)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct way *way = tables[i]; way->name; way++)
			if (!index--)
				return way;
	return NULL;
}

struct work {
	void (*main)(struct side *);
	struct side *side;
};

static void work_main(void *arg)
{
	struct work *work = arg;

	work->main(work->side);
}

/* Asks the server to begin or end (index with the top bit) a way, and gets its answer. */
#define ASK_END 0x8000
#define WAYS_MAX 256

static bool ask(int control, uint16_t what)
{
	char answer;

	must(send(control, &what, sizeof(what), MSG_NOSIGNAL) == sizeof(what));
	must(recv(control, &answer, 1, 0) == 1);
	return !answer;
}

static int serve(struct side *side, uint16_t port)
{
	int listener = listen_any(port), control;
	pid_t children[WAYS_MAX] = { 0 };
	uint16_t what;
	char answer;

	control = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	must(control >= 0);
	while (recv(control, &what, sizeof(what), MSG_WAITALL) == sizeof(what)) {
		const struct way *way = way_at(what & ~ASK_END);
		struct work work = { way ? way->server : NULL, side };
		int status = 0;

		pid_t *child = &children[what & ~ASK_END];

		must(way && child < children + WAYS_MAX);
		if (what & ASK_END) {
			must(waitpid(*child, &status, 0) == *child);
		} else {
			count_begin(way->name);
			side->port = (uint16_t)(port + 1 + what);
			side->listener = listen_any(side->port);
			*child = child_start(work_main, &work);
			close(side->listener);
		}
		answer = status != 0;
		must(send(control, &answer, 1, MSG_NOSIGNAL) == 1);
	}
	return 0;
}

static bool is_wanted(const char *name, char **words)
{
	bool wanted = !*words;

	for (; *words; words++)
		wanted |= !strcmp(*words, name);
	return wanted;
}

static int ask_all(struct side *side, uint16_t port, char **words)
{
	int control = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), failed = 0, status;
	const struct way *way;

	must(!connect_text(control, side->peer, port));
	for (uint16_t i = 0; (way = way_at(i)); i++) {
		struct work work = { way->client, side };

		if (!is_wanted(way->name, words))
			continue;
		count_begin(way->name);
		side->port = (uint16_t)(port + 1 + i);
		must(ask(control, i));
		waitpid(child_start(work_main, &work), &status, 0);
		if (!ask(control, i | ASK_END) || status) {
			fprintf(stderr, "%s did not go as planned (client %#x)\n", way->name, status);
			failed = 1;
		}
	}
	return failed;
}

struct older {
	struct work work;
	int gate; /* the end that keeps it shut */
};

static void older_main(void *arg)
{
	struct older *older = arg;

	close(older->gate);
	work_main(&older->work);
}

static void wait_all_parked(int parked, unsigned n)
{
	char byte;

	for (; n; n--) {
		wait_for_fd(parked, POLLIN);
		must(read(parked, &byte, 1) == 1);
	}
	must(puts("parked") >= 0 && !fflush(stdout));
	must(read(STDIN_FILENO, &byte, 1) == 1);
}

/* All at once. */
static int ask_older(struct side *side, uint16_t port, char **words)
{
	int control = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), gate[2], parked[2], failed = 0, status;
	pid_t children[WAYS_MAX] = { 0 };
	const struct way *way;
	unsigned n = 0;

	must(!connect_text(control, side->peer, port) && !pipe(gate) && !pipe(parked));
	side->gate = gate[0];
	side->parked = parked[1];
	for (uint16_t i = 0; (way = way_at(i)) && i < WAYS_MAX; i++) {
		struct older older = { { way->client, side }, gate[1] };

		if (!is_wanted(way->name, words))
			continue;
		count_begin(way->name);
		side->port = (uint16_t)(port + 1 + i);
		must(ask(control, i));
		children[i] = child_start(older_main, &older);
		n++;
	}
	wait_all_parked(parked[0], n);
	close(gate[1]);
	for (uint16_t i = 0; i < WAYS_MAX; i++) {
		if (!children[i])
			continue;
		waitpid(children[i], &status, 0);
		if (!ask(control, i | ASK_END) || status) {
			fprintf(stderr, "%s did not go as planned (client %#x)\n", way_at(i)->name, status);
			failed = 1;
		}
	}
	return failed;
}

int main(int argc, char **argv)
{
	struct side side = { .program = argv[0] };
	const struct way *way;

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < DATA_SIZE; i++)
		data[i] = (char)(i * 7 + i / 251);
	if (argc == 2 && !strcmp(argv[1], "list")) {
		for (unsigned i = 0; (way = way_at(i)); i++)
			puts(way->name);
		return 0;
	}
	if (argc > 2 && !strcmp(argv[1], "older")) {
		side.older = true;
		child_seconds = OLDER_SECONDS;
		argc--;
		argv++;
	}
	if (argc == 3 && !strcmp(argv[1], "server"))
		return serve(&side, (uint16_t)atoi(argv[2]));
	if (argc > 1 && !strcmp(argv[1], "exec")) {
		exec_child(argv + 2);
		return 0;
	}
	if (argc < 5 || strcmp(argv[1], "client")) {
		fprintf(stderr, "usage: torture [older] server PORT | [older] client PORT ADDRESS ADDRESS6 [WAY]... | list\n");
		return 2;
	}
	side.peer = argv[3];
	side.peer6 = argv[4];
	return (side.older ? ask_older : ask_all)(&side, (uint16_t)atoi(argv[2]), argv + 5);
}
