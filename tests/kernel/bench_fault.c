// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * bench_fault --run: what faults cost. Prints `name value` lines, nanoseconds, medians of interleaved rounds: a
 * packet that passes a box's device, over a program that does nothing, with so many rules armed, and with some in
 * effect; a send and its receive with rules that never match, over none; and from a fault's moment until it is in
 * effect.
 */
#include "tests/kernel/fault_world.h"

#include <bpf/bpf.h>

#include "tfj/tracer_kernel.h"

#define ROUNDS 15
#define PACKETS 200000
#define PINGS 20000
#define FIRES 40

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

/* The youngest program of that name. */
static int program_find(const char *name)
{
	struct bpf_prog_info info;
	uint32_t id = 0, size;
	int found = -1;

	while (!bpf_prog_get_next_id(id, &id)) {
		int fd = bpf_prog_get_fd_by_id(id);

		memset(&info, 0, sizeof(info));
		size = sizeof(info);
		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &size) || strcmp(info.name, name)) {
			close(fd);
			continue;
		}
		if (found >= 0)
			close(found);
		found = fd;
	}
	if (found < 0)
		abort();
	return found;
}

static int program_nothing(void)
{
	struct bpf_insn nothing[] = { { .code = 0xb7, .imm = -1 }, { .code = 0x95 } };

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nothing", "GPL", nothing, 2, NULL);
}

/* A TCP packet of 100 bytes from box 1 to box 2, port 7000 to that one. */
static void packet_fill(const struct fault_world *fw, uint16_t port, unsigned char packet[154])
{
	memset(packet, 0, 154);
	packet[5] = 2;
	packet[11] = 1;
	packet[12] = 0x08;
	packet[14] = 0x45;
	packet[17] = 140;
	packet[22] = 64;
	packet[23] = 6;
	memcpy(packet + 26, fw->boxes->box[0].ip4 + 12, 4);
	memcpy(packet + 30, fw->boxes->box[1].ip4 + 12, 4);
	packet[34] = PORT >> 8;
	packet[35] = PORT & 255;
	packet[36] = (unsigned char)(port >> 8);
	packet[37] = (unsigned char)port;
	packet[46] = 5 << 4;
	packet[47] = 0x10;
}

static double run_ns(int program, const unsigned char packet[154])
{
	unsigned char copy[256];
	struct __sk_buff device = { .ifindex = 2 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = 154, .data_out = copy,
		    .data_size_out = sizeof(copy), .ctx_in = &device, .ctx_size_in = sizeof(device),
		    .repeat = PACKETS);

	if (bpf_prog_test_run_opts(program, &opts))
		abort();
	return opts.duration;
}

static void packet_measure(const struct fault_world *fw, const char *name)
{
	int gate = program_find("bop_fault_in"), nothing = program_nothing(),
	    home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	double values[ROUNDS], empty[ROUNDS];
	unsigned char packet[154];

	packet_fill(fw, PORT + 999, packet);
	if (setns(fw->boxes->box[1].netns, CLONE_NEWNET)) /* where the device is */
		abort();
	for (int i = 0; i < ROUNDS; i++) {
		empty[i] = run_ns(nothing, packet);
		values[i] = run_ns(gate, packet) - empty[i];
	}
	printf("packet_%s_ns %.1f\n", name, median(values, ROUNDS));
	if (setns(home, CLONE_NEWNET))
		abort();
	close(home);
	close(gate);
	close(nothing);
}

static void rules_arm(struct fault_world *fw, uint32_t from, uint32_t to)
{
	struct kernel_fault *faults = calloc(to - from, sizeof(*faults));
	struct error e = { "" };

	for (uint32_t i = from; i < to; i++)
		faults[i - from] = (struct kernel_fault){
			.id = i,
			.kind = FAULT_CUT,
			.moment = MOMENT_SEND,
			.message = i,
			.where = {.process = fault_label("nobody"), .box = 2, .port = 7000, .ordinal = i}};
	if (faults_arm(fw->faults, faults, to - from, clock_monotonic_ns() + LEASE_NS, &e)) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	free(faults);
}

/* A partition of many boxes that are not ours: each packet is asked where it comes from. */
static void walls_arm(struct fault_world *fw)
{
	uint32_t boxes[200];
	struct kernel_fault fault = {.id = RULE_MAX - 1,
				     .kind = FAULT_PARTITION,
				     .from = boxes,
				     .n_from = 100,
				     .to = boxes + 100,
				     .n_to = 100};
	struct error e = { "" };

	for (uint32_t i = 0; i < 200; i++)
		boxes[i] = 1000 + i;
	if (faults_arm(fw->faults, &fault, 1, clock_monotonic_ns() + LEASE_NS, &e)) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
}

static void packets_measure(struct fault_world *fw)
{
	fault_world_open(fw);
	packet_measure(fw, "rules_0");
	rules_arm(fw, 1, 101);
	packet_measure(fw, "rules_100");
	rules_arm(fw, 101, 10001);
	packet_measure(fw, "rules_10000");
	walls_arm(fw);
	packet_measure(fw, "wall_of_others");
	faults_lift(fw->faults, RULE_MAX - 1);
	fault_world_close(fw);
}

/* From the moment to the effect; and, with a connection cut, what a packet of another one pays. */
static void finish_at_once(struct fault_world *fw, const struct trial *trial)
{
	struct kernel_receipt receipt;

	for (size_t i = 0; i < trial->n; i++)
		if (!faults_receipt(fw->faults, (uint32_t)i + 1, &receipt) && receipt.fired)
			__atomic_store_n(&fw->conversations[i].finish, 1, __ATOMIC_SEQ_CST);
}

static void fires_measure(struct fault_world *fw)
{
	struct trial trial = { .kind = FAULT_CUT, .moment = MOMENT_SEND, .family = AF_INET, .n = FIRES };
	double values[FIRES];

	fault_world_open(fw);
	trial_arm(fw, &trial);
	programs_start(fw, &trial);
	programs_finish(fw, &trial, finish_at_once);
	for (uint32_t i = 0; i < FIRES; i++) {
		struct kernel_receipt receipt = { 0 };

		faults_receipt(fw->faults, i + 1, &receipt);
		values[i] = (double)receipt.effect_ns;
	}
	printf("trigger_to_effect_ns %.0f\n", median(values, FIRES));
	printf("trigger_to_effect_max_ns %.0f\n", values[FIRES - 1]);
	packet_measure(fw, "cut_of_others");
	fault_world_close(fw);
}

/* One thread sends and receives: caches are warm, nobody sleeps. */
static int alone_main(struct fault_world *fw, const struct trial *trial)
{
	char data[100] = { 0 };
	int pair[2];
	uint64_t start;

	pair_open(pair);
	start = clock_monotonic_ns();
	for (int i = 0; i < PINGS; i++) {
		send_all(pair[0], data, sizeof(data));
		recv_all(pair[1], data, sizeof(data));
	}
	*(double *)fw->conversations = (double)(clock_monotonic_ns() - start) / PINGS;
	return 0;
}

static double alone_ns(struct fault_world *fw)
{
	struct trial trial = { 0 };
	int status;

	fw->programs[0] = program_start(fw, &trial, 0, "c", 2);
	while (waitpid(fw->programs[0], &status, WNOHANG) == 0) {
		struct timespec pause = { .tv_nsec = 1000 * 1000 };

		nanosleep(&pause, NULL);
		world_drain(fw->w);
		fw->w->n = 0;
	}
	return *(double *)fw->conversations;
}

static void transfers_measure(struct fault_world *fw)
{
	double without[ROUNDS], with[ROUNDS], cost[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		fault_world_open(fw);
		tracer_faulting(fw->w->tracer, false);
		without[i] = alone_ns(fw);
		rules_arm(fw, 1, 10001);
		with[i] = alone_ns(fw);
		cost[i] = with[i] - without[i];
		fault_world_close(fw);
	}
	printf("transfer_cost_ns %.1f\n", median(cost, ROUNDS));
	printf("transfer_ratio %.3f\n", median(without, ROUNDS) / median(with, ROUNDS));
}

int main(int argc, char **argv)
{
	struct fault_world fw = { .client = client_main };
	int status;

	if (argc != 2 || strcmp(argv[1], "--run")) {
		fprintf(stderr, "usage: bench_fault --run\n");
		return 2;
	}
	fw.w = world_new(&status);
	if (!fw.w)
		return 1;
	packets_measure(&fw);
	fires_measure(&fw);
	fw.client = alone_main;
	transfers_measure(&fw);
	status = !!fw.w->failures;
	tracer_close(fw.w->tracer);
	return status;
}
