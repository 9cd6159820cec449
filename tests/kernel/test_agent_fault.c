/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Faults ordered from an agent: what it does itself (signals, boxes, starting again, queues, filters), what it refuses, and
 * what it tells. What the kernel side does at a message is tested in test_fault_*.
 */
#define AGENT_FAULTS NULL
#include "tests/kernel/collector.h"

#include "lib/clock.h"
#include "proto/fault.h"
#include "tests/kernel/state.h"

#define MS (CLOCK_SECOND_NS / 1000)
#define FAULTS_MAX 16

/* An Arm of these lines, with ids from `first` on. */
static struct message_order arm_order(struct fault faults[FAULTS_MAX], uint32_t first, const char *const *lines)
{
	struct message_order order = { .kind = ORDER_ARM };
	struct error e = { "" };
	int column;

	order.arm.faults = faults;
	for (; lines[order.arm.n]; order.arm.n++) {
		struct fault *fault = &faults[order.arm.n];

		ck_assert_uint_lt(order.arm.n, FAULTS_MAX);
		ck_assert_msg(fault_parse(lines[order.arm.n], strlen(lines[order.arm.n]), fault, &column, &e) == 0, "%s: %s",
			      lines[order.arm.n], e.text);
		fault->id = first + order.arm.n;
		if (!fault->seed)
			fault->seed = 1;
	}
	return order;
}

static void faults_drop(struct message_order *order)
{
	for (size_t i = 0; i < order->arm.n; i++)
		fault_fini(&order->arm.faults[i]);
}

#define LINES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void arm(uint32_t first, const char *const *lines)
{
	struct fault faults[FAULTS_MAX];
	struct message_order armed = arm_order(faults, first, lines);

	order(armed);
	faults_drop(&armed);
}

static void arm_refused(uint32_t first, const char *const *lines, int code, const char *word)
{
	struct fault faults[FAULTS_MAX];
	struct message_order armed = arm_order(faults, first, lines);

	refused(armed, code, word);
	faults_drop(&armed);
}

static struct message_order lift_order(uint32_t id)
{
	return (struct message_order){ .kind = ORDER_LIFT, .lift = id };
}

/* The last word of the run on a fault. */
static const struct fault_receipt *receipt_of(uint32_t id)
{
	trace_receipts_settle(&bop.trace);
	for (size_t i = 0; i < bop.trace.n_receipts; i++)
		if (bop.trace.receipts[i].id == id)
			return &bop.trace.receipts[i];
	ck_abort_msg("there is no receipt of fault %u", id);
}

static void finish(void)
{
	order(plain_order(ORDER_FINISH));
	ck_assert(bop.head.last);
}

/* Events about a fault. */
static size_t events_of(enum event_kind kind, uint32_t id)
{
	size_t n = 0;

	for (size_t i = 0; i < bop.trace.n_events; i++)
		n += bop.trace.events[i].kind == kind && bop.trace.events[i].value == id;
	return n;
}

static void check_receipt(uint32_t id, enum fault_state state, const char *line)
{
	const struct fault_receipt *receipt = receipt_of(id);

	ck_assert_msg(receipt->state == state, "fault %u is %s (%s), not %s", id, fault_state_name(receipt->state), receipt->why,
		      fault_state_name(state));
	ck_assert_str_eq(receipt->line, line);
	ck_assert_uint_eq(events_of(EVENT_ARMED, id), 1);
	ck_assert_uint_eq(events_of(EVENT_FIRED, id), receipt->fired_ns != 0);
}

/* Check's time limit is the only one. */
static void wait_state(pid_t pid, const char *states)
{
	while (!strchr(states, process_state(pid)))
		usleep(1000);
}

/* What a script left in a file of the working directory; waits until it ends with a newline. */
static const char *file_text(const char *name)
{
	static char text[4096];
	char path[200];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", inbox_base, name);
	while (!n || text[n - 1] != '\n') {
		f = fopen(path, "re");
		n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
		if (f)
			fclose(f);
		text[n] = '\0';
		usleep(1000);
	}
	return text;
}

static pid_t file_pid(const char *name)
{
	return atoi(file_text(name));
}

static void file_remove(const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", inbox_base, name);
	ck_assert_int_eq(unlink(path), 0);
}

/* A living process is killed at once, and is told to have been ended by the fault; it starts again, and again, with its labels. */
START_TEST(crash_and_restart)
{
	const struct fault_receipt *receipt;

	begin();
	arm(1, LINES("restart a after 50ms", "restart a'2 after 0s"));
	start_shell("a", "/bin/true; echo $$ >>pid; while :; do sleep 1000; done");
	file_text("pid");
	arm(3, LINES("crash a"));
	wait_said("exited a 0x9 by 3 restarts");
	wait_said("receipt 1 fired");
	while (strchr(file_text("pid"), '\n') == strrchr(file_text("pid"), '\n')) /* it has had a child by then */
		usleep(1000);
	arm(4, LINES("crash a'2"));
	wait_said("exited a 0x9 by 4 restarts");
	wait_said("receipt 2 fired");
	order(signal_order("a", SIGTERM)); /* its name is that of the one that lives */
	wait_said("exited a 0xf");
	finish();
	file_remove("pid");
	check_receipt(1, FAULT_STATE_FIRED, "restart a after 50ms");
	check_receipt(2, FAULT_STATE_FIRED, "restart a'2 after 0s");
	check_receipt(3, FAULT_STATE_FIRED, "crash a");
	check_receipt(4, FAULT_STATE_FIRED, "crash a'2");
	receipt = receipt_of(1);
	ck_assert_uint_ge(receipt->fired_ns, receipt_of(3)->fired_ns + 50 * MS);
	ck_assert_int_eq(find(EVENT_EXIT, "a", 0)->value, SIGKILL);
	ck_assert_int_eq(find(EVENT_EXIT, "a'2", 0)->value, SIGKILL);
	ck_assert_int_eq(find(EVENT_EXIT, "a'3", 0)->value, SIGTERM);
	ck_assert_uint_eq(count(EVENT_START, "a'3"), 1);
	ck_assert_uint_gt(count(EVENT_START, "a'2.1"), 0);
}
END_TEST

/* A process that ends by itself, or that the collector ends, is not started again; the fault has not fired. */
START_TEST(not_by_a_fault)
{
	begin();
	arm(1, LINES("restart a after 1ms", "restart b after 1ms", "crash c"));
	start_shell("a", "exit 3");
	wait_said("exited a 0x300");
	start_shell("b", "while :; do sleep 1000; done");
	order(signal_order("b", SIGKILL));
	wait_said("exited b 0x9");
	finish();
	check_receipt(1, FAULT_STATE_NEVER_FIRED, "restart a after 1ms");
	check_receipt(2, FAULT_STATE_NEVER_FIRED, "restart b after 1ms");
	check_receipt(3, FAULT_STATE_NEVER_FIRED, "crash c");
	ck_assert_uint_eq(count(EVENT_START, "a'2") + count(EVENT_START, "b'2"), 0);
}
END_TEST

/* A program makes a tunnel in its box, whose packets no fault can look at: the run says so. */
START_TEST(tunnel_is_told)
{
	static const char script[] =
		"exec 2>err; python3 -c 'import fcntl, os, socket, struct, subprocess\n"
		"tun = os.open(\"/dev/net/tun\", os.O_RDWR)\n"
		"fcntl.ioctl(tun, 0x400454ca, struct.pack(\"16sH22x\", b\"late0\", 0x1001))\n"
		"subprocess.check_call(\"ip addr add 10.98.0.1/24 dev late0; ip link set late0 up\", shell=True)\n"
		"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"10.98.0.2\", 9))\n"
		"os.read(tun, 2000)\n"
		"open(\"done\", \"w\").write(\"1\\n\")\n"
		"import time; time.sleep(1000)'; echo 0 >done";
	size_t lost = 0;

	begin();
	arm(1, LINES("isolate s1"));
	start_shell("a", script);
	if (file_text("done")[0] == '1') {
		finish();
		for (size_t i = 0; i < bop.trace.n_events; i++)
			lost += bop.trace.events[i].kind == EVENT_LOST && bop.trace.events[i].value > 0;
		ck_assert_uint_ge(lost, 1);
	} else {
		printf("# no tun device can be made here: %s", file_text("err"));
		finish();
	}
	file_remove("done");
	file_remove("err");
}
END_TEST

/* Who waits to be started again when the run is being stopped, or when that is lifted, never is, and that is told. */
START_TEST(no_restart)
{
	begin();
	arm(1, LINES("restart a after 1h", "restart b after 1h"));
	start_shell("a", "while :; do sleep 1000; done");
	start_shell("b", "while :; do sleep 1000; done");
	arm(3, LINES("crash a", "crash b"));
	wait_said("exited a 0x9 by 3 restarts");
	wait_said("exited b 0x9 by 4 restarts");
	order(lift_order(1));
	wait_said("exited a 0x9 by 3");
	order(mark_order("teardown"));
	wait_said("exited b 0x9 by 4");
	finish();
	check_receipt(1, FAULT_STATE_LIFTED, "restart a after 1h");
	check_receipt(2, FAULT_STATE_NEVER_FIRED, "restart b after 1h");
	ck_assert_uint_eq(events_of(EVENT_LIFTED, 1), 1);
}
END_TEST

/* A program that is gone when it is to start again: the receipt says why. */
START_TEST(cannot_restart)
{
	char program[200], *argv[] = { program, "1000", NULL };

	snprintf(program, sizeof(program), "%s/program", inbox_base);
	ck_assert_int_eq(symlink("/bin/sleep", program), 0); /* no script: its shell could come too late to read it */
	begin();
	arm(1, LINES("restart a after 1ms"));
	start("a", "s1", argv);
	file_remove("program");
	arm(2, LINES("crash a"));
	wait_said("exited a 0x9 by 2 restarts");
	wait_said("exited a 0x9 by 2");
	finish();
	check_receipt(1, FAULT_STATE_NEVER_FIRED, "restart a after 1ms");
	ck_assert_ptr_nonnull(strstr(receipt_of(1)->why, program));
}
END_TEST

/* A child that is already there is stopped, and goes on after that time and not before; one that is lifted goes on at once. */
START_TEST(pauses)
{
	pid_t child;

	begin();
	start_shell("a", "(echo $(sh -c 'echo $PPID') >pid; while :; do sleep 0.01; done); true");
	child = file_pid("pid");
	arm(1, LINES("pause a.1 for 300ms"));
	wait_state(child, "T");
	wait_said("receipt 1 expired");
	wait_state(child, "SR");
	arm(2, LINES("pause a.1 for 1h"));
	wait_state(child, "T");
	order(lift_order(2));
	wait_state(child, "SR");
	arm(3, LINES("pause a.1 for 1h"));
	wait_state(child, "T");
	finish(); /* a stopped one is killed as any other */
	wait_state(child, "-");
	file_remove("pid");
	check_receipt(1, FAULT_STATE_EXPIRED, "pause a.1 for 300ms");
	ck_assert_uint_ge(receipt_of(1)->ended_ns, receipt_of(1)->fired_ns + 300 * MS);
	ck_assert_uint_eq(events_of(EVENT_EXPIRED, 1), 1);
	check_receipt(2, FAULT_STATE_LIFTED, "pause a.1 for 1h");
	check_receipt(3, FAULT_STATE_FIRED, "pause a.1 for 1h");
}
END_TEST

/*
 * Everything of the box dies, daemons too, and nothing of another; what is started there afterwards dies as well, until one is
 * started again by a restart: then the power is back.
 */
START_TEST(crash_box)
{
	pid_t daemon, other;

	begin();
	arm(1, LINES("restart a after 200ms"));
	start_shell("a", "setsid sh -c 'echo $$ >daemon; while :; do sleep 1000; done' & echo $$ >>starts; while :; do sleep 1000; done");
	other = start("other", "s2", (char *[]){ "sleep", "1000", NULL });
	daemon = file_pid("daemon");
	arm(2, LINES("crash box s1"));
	wait_said("exited a 0x9 by 2 restarts");
	wait_state(daemon, "-Z");
	start_shell("late", "while :; do sleep 1000; done");
	wait_said("exited late 0x9 by 2");
	wait_said("receipt 1 fired");
	start_shell("later", "exit 5");
	wait_said("exited later 0x500");
	ck_assert_int_eq(process_state(other), 'S');
	finish();
	file_remove("daemon");
	file_remove("starts");
	check_receipt(1, FAULT_STATE_FIRED, "restart a after 200ms");
	check_receipt(2, FAULT_STATE_FIRED, "crash box s1");
	ck_assert_ptr_nonnull(strstr(receipt_of(2)->why, "power came back"));
}
END_TEST

/* Calls fail in the program that was named, under its label only. */
START_TEST(fail)
{
	uint64_t end;

	begin();
	arm(1, LINES("fail uname EIO a", "fail uname ENOSYS b"));
	start_shell("a", "uname 2>out; kill -9 $$");
	wait_said("exited a 0x9"); /* not by a fault */
	ck_assert_ptr_nonnull(strstr(file_text("out"), "Input/output error"));
	start_shell("a", "uname >out 2>&1");
	wait_said("exited a 0"); /* this is a'2 */
	ck_assert_str_eq(file_text("out"), "Linux\n");
	refused(lift_order(1), -ENOTSUP, "as long as");
	order(lift_order(2));
	start_shell("b", "uname");
	wait_said("exited b 0");
	finish();
	file_remove("out");
	check_receipt(1, FAULT_STATE_FIRED, "fail uname EIO a");
	check_receipt(2, FAULT_STATE_LIFTED, "fail uname ENOSYS b");
	ck_assert_uint_eq(output_size("b", 1, &end), 6);
}
END_TEST

/* Queues come and go with their time; between chosen boxes or for all. */
START_TEST(rate)
{
	begin();
	arm(1, LINES("rate 1mbit s1 | s2", "rate 8kbit s2 for 100ms", "rate 1gbit s1 oneway"));
	wait_said("receipt 2 expired");
	order(lift_order(3));
	finish();
	check_receipt(1, FAULT_STATE_FIRED, "rate 1mbit s1 | s2");
	check_receipt(2, FAULT_STATE_EXPIRED, "rate 8kbit s2 for 100ms");
	check_receipt(3, FAULT_STATE_LIFTED, "rate 1gbit s1 oneway");
	ck_assert_uint_ge(receipt_of(2)->ended_ns, receipt_of(2)->fired_ns + 100 * MS);
}
END_TEST

/* In a dry run nothing happens, and it is said what would have. */
START_TEST(dry)
{
	struct fault faults[FAULTS_MAX];
	struct message_order armed;
	uint64_t end;

	begin();
	armed = arm_order(faults, 1, LINES("restart b after 1ms", "crash b", "fail uname EIO b"));
	for (size_t i = 0; i < armed.arm.n; i++)
		faults[i].flags |= FAULT_F_DRY;
	order(armed);
	faults_drop(&armed);
	start_shell("b", "uname");
	wait_said("exited b 0");
	start_shell("a", "while :; do sleep 1000; done");
	armed = arm_order(faults, 4, LINES("crash a", "pause a for 1h", "crash box s1", "isolate s1", "rate 1mbit s1"));
	for (size_t i = 0; i < armed.arm.n; i++)
		faults[i].flags |= FAULT_F_DRY;
	order(armed);
	faults_drop(&armed);
	order(signal_order("a", SIGTERM));
	wait_said("exited a 0xf");
	finish();
	ck_assert_uint_eq(output_size("b", 1, &end), 6);
	for (uint32_t id = 1; id <= 8; id++) {
		ck_assert_msg(receipt_of(id)->state == FAULT_STATE_WOULD_FIRE, "%u: %s", id, fault_state_name(receipt_of(id)->state));
		ck_assert_uint_eq(events_of(EVENT_FIRED, id), 0);
	}
}
END_TEST

/* What has not fired when its time to be armed is over, never does. */
START_TEST(armed_too_long)
{
	struct fault faults[FAULTS_MAX];
	struct message_order armed;

	begin();
	armed = arm_order(faults, 1, LINES("crash a", "cut a>s2:1#1/1", "fail uname EIO a", "isolate s1"));
	armed.arm.armed_ns = 50 * MS;
	order(armed);
	faults_drop(&armed);
	wait_said("receipt 1 expired");
	start_shell("a", "uname");
	wait_said("exited a 0");
	finish();
	check_receipt(1, FAULT_STATE_EXPIRED, "crash a");
	check_receipt(2, FAULT_STATE_EXPIRED, "cut a>s2:1#1/1");
	check_receipt(3, FAULT_STATE_EXPIRED, "fail uname EIO a");
	check_receipt(4, FAULT_STATE_FIRED, "isolate s1"); /* at once: it had fired */
}
END_TEST

/* An order is obeyed whole or not at all, and one that cannot be obeyed names the fault and the reason. */
START_TEST(refusals)
{
	struct fault faults[FAULTS_MAX];
	struct message_order armed = arm_order(faults, 1, LINES("isolate s1"));

	refused(armed, -EINVAL, "no run");
	faults_drop(&armed);
	begin();
	order(lift_order(0));
	refused(lift_order(7), -ENOENT, "7");
	start_shell("a", "while :; do sleep 1000; done");
	arm_refused(1, LINES("crash a", "rate 1mbit s1", "isolate s1", "isolate s3"), -ENOENT, "fault 4 (isolate s3): 's3'");
	arm_refused(1, LINES("crash a", "cut a>s9:1#1/1"), -ENOENT, "s9");
	arm_refused(1, LINES("crash box s9"), -ENOENT, "s9");
	arm_refused(1, LINES("rate 1mbit s1", "fail execve EIO b"), -ENOTSUP, "fault 2 (fail execve EIO b): execve");
	arm_refused(1, LINES("fail uname EIO a"), -ENOTSUP, "runs already");
	arm_refused(1, LINES("fail uname EIO b.1"), -ENOTSUP, "b.1");
	arm_refused(1, LINES("fail uname EIO b for 1s"), -ENOTSUP, "as long as it lives");
	arm_refused(1, LINES("fail uname EIO b from send b>s1:1#1/1"), -ENOTSUP, "start on");
	arm_refused(1, LINES("fail no_such_call EIO b"), -EINVAL, "no_such_call");
	arm_refused(1, LINES("restart b.1 after 1s"), -ENOTSUP, "experiment starts");
	arm_refused(1, LINES("cut a<10.99.0.1:80#1/1"), -ENOTSUP, "another kernel");
	arm_refused(1, LINES("crash a at recv a>10.99.0.1:80#1/1"), -ENOTSUP, "another kernel");
	arm_refused(100000, LINES("isolate s1"), -E2BIG, "at most");
	armed = arm_order(faults, 1, LINES("isolate s1", "isolate s2"));
	faults[1].id = 1;
	refused(armed, -EEXIST, "that number");
	faults_drop(&armed);
	arm(1, LINES("isolate s2"));
	arm_refused(1, LINES("isolate s1"), -EEXIST, "already");
	order(signal_order("a", SIGTERM)); /* it lives */
	wait_said("exited a 0xf");
	finish();
	trace_receipts_settle(&bop.trace);
	ck_assert_uint_eq(bop.trace.n_receipts, 1);
	check_receipt(1, FAULT_STATE_FIRED, "isolate s2");
}
END_TEST

/* Many at once; a run after a run with faults knows nothing of them. */
START_TEST(many)
{
	struct message_order armed = { .kind = ORDER_ARM };
	struct error e = { "" };
	char line[64];
	int column;

	armed.arm.n = FAULT_PLAN_MAX;
	armed.arm.faults = calloc(armed.arm.n, sizeof(*armed.arm.faults));
	for (size_t i = 0; i < armed.arm.n; i++) {
		snprintf(line, sizeof(line), "cut a>s2:7000#1/%zu", i + 1);
		ck_assert_int_eq(fault_parse(line, strlen(line), &armed.arm.faults[i], &column, &e), 0);
		armed.arm.faults[i].id = i + 1;
	}
	begin();
	order(armed);
	finish();
	trace_receipts_settle(&bop.trace);
	ck_assert_uint_eq(bop.trace.n_receipts, FAULT_PLAN_MAX);
	check_receipt(FAULT_PLAN_MAX, FAULT_STATE_NEVER_FIRED, line);
	faults_drop(&armed);
	free(armed.arm.faults);
	trace_fini(&bop.trace);
	trace_init(&bop.trace);
	bop.head.last = false;
	bop.batches = 0;
	begin();
	refused(lift_order(1), -ENOENT, "1");
	finish();
	ck_assert_uint_eq(bop.trace.n_receipts, 0);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tc;

	find_programs();
	suite = suite_create("agent_fault");
	tc = tcase_create("agent_fault");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, crash_and_restart);
	tcase_add_test(tc, not_by_a_fault);
	tcase_add_test(tc, tunnel_is_told);
	tcase_add_test(tc, no_restart);
	tcase_add_test(tc, cannot_restart);
	tcase_add_test(tc, pauses);
	tcase_add_test(tc, crash_box);
	tcase_add_test(tc, fail);
	tcase_add_test(tc, rate);
	tcase_add_test(tc, dry);
	tcase_add_test(tc, armed_too_long);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, many);
	suite_add_tcase(suite, tc);
	return inbox_main(suite);
}
