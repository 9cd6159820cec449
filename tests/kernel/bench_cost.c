/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bench_cost --run: what the kernel side costs. Prints `name value` lines, nanoseconds: an untraced
 * process's system calls while detached and while attached, a traced program's sends and receives
 * by its own clock (medians of interleaved rounds); then each program by the kernel's statistics,
 * less what these add themselves, and all of them for each record. `untraced_getppid_ns` and
 * `event_ns` are the numbers of the goals. Costs are medians of the rounds' differences. Only true
 * when nobody else traces.
 */
#include "tests/kernel/world.h"

#include <bpf/bpf.h>

#define ROUNDS 15
#define CALLS 200000
#define PINGS 20000

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return values[n / 2];
}

/* Median of what each round showed more than its other half. */
static double difference(const double *detached, const double *attached)
{
	double rounds[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		rounds[i] = attached[i] - detached[i];
	return median(rounds, ROUNDS);
}

static double getppid_ns(void)
{
	double start = now_ns();

	for (int i = 0; i < CALLS; i++)
		syscall(SYS_getppid);
	return (now_ns() - start) / CALLS;
}

static double read_ns(void)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	double start = now_ns();
	char byte;

	for (int i = 0; i < CALLS; i++)
		if (read(fd, &byte, 1) != 1)
			abort();
	start = (now_ns() - start) / CALLS;
	close(fd);
	return start;
}

/* Round trip between two untraced processes over pipes: going to sleep is a probe of ours, too. */
static double switch_ns(void)
{
	int there[2], back[2];
	cpu_set_t one, all;
	double start;
	char byte = 0;
	pid_t pid;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_getaffinity(0, sizeof(all), &all);
	sched_setaffinity(0, sizeof(one),
			  &one); /* else it measures whether the other CPU was asleep */
	if (pipe(there) || pipe(back))
		abort();
	pid = fork();
	if (!pid) {
		close(there[1]);
		while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	close(there[0]);
	start = now_ns();
	for (int i = 0; i < PINGS; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			abort();
	start = (now_ns() - start) / PINGS;
	sched_setaffinity(0, sizeof(all), &all);
	close(there[1]);
	close(back[0]);
	close(back[1]);
	waitpid(pid, NULL, 0);
	return start;
}

static void untraced_measure(struct world *w)
{
	static const struct {
		const char *name;
		double (*measure)(void);
	} calls[] = {{"getppid", getppid_ns}, {"read", read_ns}, {"pipe_round_trip", switch_ns}};
	struct timespec settle = {.tv_nsec = 700 * 1000 * 1000};
	double values[3][2][ROUNDS];

	for (int round = 0; round < ROUNDS; round++)
		for (int attached = 0; attached < 2; attached++) {
			if (attached && tracer_attach(w->tracer, NULL))
				abort();
			for (int i = 0; i < 3; i++)
				values[i][attached][round] = calls[i].measure();
			tracer_detach(w->tracer);
			tracer_rest(w->tracer);
			if (attached)
				nanosleep(&settle, NULL); /* the kernel lets go behind our back */
		}
	for (int i = 0; i < 3; i++) {
		double cost = difference(values[i][0], values[i][1]);

		printf("untraced_%s_ns %.1f\n", calls[i].name, cost);
		printf("untraced_%s_detached_ns %.1f\n", calls[i].name,
		       median(values[i][0], ROUNDS));
	}
}

/*
 * One thread sends and receives: caches are warm, nobody sleeps. Leaves the time of a send and a
 * receive behind.
 */
static int alone(void *shared)
{
	char buf[100] = {0};
	double start;
	int pair[2];

	pair_open(pair);
	start = now_ns();
	for (int i = 0; i < PINGS; i++) {
		send_all(pair[0], buf, sizeof(buf));
		recv_all(pair[1], buf, sizeof(buf));
	}
	*(double *)shared = (now_ns() - start) / PINGS / 2;
	return 0;
}

/* The same program's own clock, with and without us. */
static void wall_measure(struct world *w)
{
	double values[2][ROUNDS], cost;

	for (int round = 0; round < ROUNDS; round++)
		for (int on = 0; on < 2; on++) {
			if (on && tracer_attach(w->tracer, NULL))
				abort();
			world_run(w, alone);
			values[on][round] = *(double *)w->shared;
			tracer_detach(w->tracer);
		}
	cost = difference(values[0], values[1]);
	printf("transfer_untraced_ns %.1f\ntransfer_cost_ns %.1f\n", median(values[0], ROUNDS),
	       cost);
}

/* Request and reply between two processes: each event comes after a sleep. */
static int ping_pong(void *shared)
{
	char buf[100] = {0};
	int pair[2], on = 1;
	pid_t peer;

	pair_open(pair);
	setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(pair[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	peer = fork();
	if (!peer) {
		for (int i = 0; i < PINGS; i++) {
			recv_all(pair[1], buf, sizeof(buf));
			send_all(pair[1], buf, sizeof(buf));
		}
		_exit(0);
	}
	for (int i = 0; i < PINGS; i++) {
		send_all(pair[0], buf, sizeof(buf));
		recv_all(pair[0], buf, sizeof(buf));
	}
	child_reap(peer, 0);
	return 0;
}

struct usage {
	char name[32];
	__u32 id;
	uint64_t runs, ns;
};

/* Statistics of the tracer's own programs: those loaded between the first and the last id. */
static size_t usage_read(struct usage *usage, size_t max, __u32 id, __u32 last)
{
	size_t n = 0;

	while (n < max && !bpf_prog_get_next_id(id, &id) && id <= last) {
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);
		int fd = bpf_prog_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(fd, &info, &size) && !strncmp(info.name, "on_", 3)) {
			snprintf(usage[n].name, sizeof(usage[n].name), "%s", info.name);
			usage[n].id = id;
			usage[n].runs = info.run_cnt;
			usage[n++].ns = info.run_time_ns;
		}
		close(fd);
	}
	return n;
}

/* What the statistics themselves add to each run: those of a program that does nothing. */
static double empty_ns(void)
{
	struct bpf_insn nothing[] = {{.code = 0xb7 /* r0 = 0 */}, {.code = 0x95 /* exit */}};
	int program =
		bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "nothing", "GPL", nothing, 2, NULL);
	int link = bpf_raw_tracepoint_open("sys_enter", program),
	    stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	struct bpf_prog_info info = {0};
	__u32 size = sizeof(info);

	for (int i = 0; i < CALLS; i++)
		syscall(SYS_getppid);
	if (program < 0 || link < 0 || stats < 0 || bpf_obj_get_info_by_fd(program, &info, &size) ||
	    !info.run_cnt)
		abort();
	close(stats);
	close(link);
	close(program);
	return (double)info.run_time_ns / (double)info.run_cnt;
}

static void traced_measure(struct world *w, const char *name, int (*scenario)(void *), double empty,
			   __u32 first, __u32 last)
{
	struct usage before[64], after[64];
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	double ns = 0;
	size_t n;

	n = usage_read(before, 64, first, last);
	world_run(w, scenario);
	usage_read(after, 64, first, last);
	if (stats >= 0)
		close(stats);
	for (size_t i = 0; i < n; i++) {
		uint64_t runs = after[i].runs - before[i].runs, spent = after[i].ns - before[i].ns;

		if (before[i].id != after[i].id || !runs)
			continue;
		if (runs > PINGS / 2)
			printf("%s%s_ns %.1f\n", name, after[i].name,
			       (double)spent / (double)runs - empty);
		ns += (double)spent - empty * (double)runs;
	}
	printf("%srecords %zu\n%sevent_ns %.1f\n", name, w->n, name, ns / (double)w->n);
}

static __u32 program_last(__u32 id)
{
	while (!bpf_prog_get_next_id(id, &id))
		;
	return id;
}

int main(int argc, char **argv)
{
	struct world *w;
	__u32 first = 0, last;
	double empty;
	int status;

	if (argc != 2 || strcmp(argv[1], "--run")) {
		fprintf(stderr, "usage: bench_cost --run\n");
		return 2;
	}
	first = program_last(0);
	w = world_new(&status);
	last = program_last(first);
	if (!w)
		return 1;
	tracer_detach(w->tracer);
	tracer_rest(w->tracer);
	untraced_measure(w);
	wall_measure(w);
	empty = empty_ns();
	printf("empty_program_ns %.1f\n", empty);
	if (tracer_attach(w->tracer, NULL))
		abort();
	traced_measure(w, "", alone, empty, first, last);
	traced_measure(w, "ping_pong_", ping_pong, empty, first, last);
	status = !!w->failures;
	tracer_close(w->tracer);
	return status;
}
