/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lines of a plan: what is read is printed in one way, and what is wrong is said with its column and what would have been right. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/nearest.h"
#include "proto/fault.h"

/* A line and its canonical form; NULL: it is that. */
static const struct {
	const char *line, *canonical;
} good[] = {
	{ "cut client>s1:7000#2/3", NULL },
	{ "cut client<s1:7000#2/3 oneway for 2s lease 1h", NULL },
	{ "  cut\tclient<s1:7000#02/3  lease 3600s  for 2000ms oneway ", "cut client<s1:7000#2/3 oneway for 2s lease 1h" },
	{ "cut a>[fd00:0::1]:7000#1/1", "cut a>[fd00::1]:7000#1/1" },
	{ "cut a.1.2>10.0.0.9:7000#1/1", NULL },
	{ "cut s1'2>s1:*3#4294967295/4294967295", NULL },
	{ "drop c>s1:1#1/1", NULL },
	{ "drop c>s1:1#1/1 times 1", "drop c>s1:1#1/1" },
	{ "drop c>s1:65535#1/1 times 4294967295", NULL },
	{ "hold c>s1:1#1/1 for 300ms", NULL },
	{ "hold c>s1:1#1/1 for 1.5s", "hold c>s1:1#1/1 for 1500ms" },
	{ "hold c>s1:1#1/1 for 0.000000001s", "hold c>s1:1#1/1 for 1ns" },
	{ "hold c>s1:1#1/1 for 0.5m", "hold c>s1:1#1/1 for 30s" },
	{ "reset c>s1:1#1/1", NULL },
	{ "refuse c>s1:1#1", NULL },
	{ "refuse c>s1:1#1 timeout", NULL },
	{ "partition a,b | c", NULL },
	{ "partition a , b|c,d-1 from recv c>s1:1#1/1 oneway", "partition a,b | c,d-1 oneway from recv c>s1:1#1/1" },
	{ "partition a | c from connect c>s1:1#1 for 1m", NULL },
	{ "isolate a", NULL },
	{ "isolate a,b oneway from accept c>s1:1#1 lease 30s", NULL },
	{ "crash s1", NULL },
	{ "crash s1 silent at send s1>s2:1#1/1", "crash s1 at send s1>s2:1#1/1 silent" },
	{ "crash box", NULL }, /* a process that is called so */
	{ "crash box silent", NULL },
	{ "crash box at start box", NULL },
	{ "crash box box", NULL },
	{ "crash box a at exit s1", NULL },
	{ "restart s1 after 500ms", NULL },
	{ "restart s1 after 0s", NULL },
	{ "pause s1 for 2s at recv c>s1:1#1/1", "pause s1 at recv c>s1:1#1/1 for 2s" },
	{ "pause for for 2s", NULL },
	{ "loss 5% a | b", NULL },
	{ "loss 0.0001% a", NULL },
	{ "loss 100.0% a,b | c seed 18446744073709551615 from start s1", "loss 100% a,b | c from start s1 seed 18446744073709551615" },
	{ "corrupt 12.50% a | b oneway", "corrupt 12.5% a | b oneway" },
	{ "duplicate 1% a", NULL },
	{ "reorder 1% a", NULL },
	{ "rate 10mbit a | b", NULL },
	{ "rate 1.5kbit a", "rate 1500bit a" },
	{ "fail fsync EIO s1", NULL },
	{ "fail write ENOSPC s1 times 3 from send s1>s2:1#1/1", "fail write ENOSPC s1 from send s1>s2:1#1/1 times 3" },
};

/* A line, the column and what is said. */
static const struct {
	const char *line;
	int column;
	const char *text;
} bad[] = {
	{ "cutt a>b:1#1/1", 1, "'cutt' is no fault; did you mean 'cut'?" },
	{ "explode s1", 1, "'explode' is no fault: cut, drop, hold, reset, refuse, partition, isolate, crash, restart, pause, loss, corrupt, "
			   "duplicate, reorder, rate or fail" },
	{ "cut", 4, "the message is missing: cut MESSAGE [oneway] [for TIME] [lease TIME] (in a shell, quote the whole line: it takes > "
		    "and < away)" },
	{ "cut client", 5, "'client' is cut off or no label: client>s1:7000#2/3 (or, from s1's side, client<s1:7000#2/3); in a shell, "
			   "quote the whole line: it takes > and < away" },
	{ "cut client>", 12, "'client>' is cut off: which connect of client? client>s1:7000#2/3 (or, from s1's side, client<s1:7000#2/3)" },
	{ "cut client>s1:7000", 19, "'client>s1:7000' is cut off: which connect of client? client>s1:7000#2/3 (or, from s1's side, "
				    "client<s1:7000#2/3)" },
	{ "cut client>s1:7000#2", 21, "'client>s1:7000#2' is a connection; its first message is client>s1:7000#2/1" },
	{ "cut client>s1:7000#2/0", 22, "'0' is no number of a message, from 1: client>s1:7000#2/3 (or, from s1's side, client<s1:7000#2/3)" },
	{ "cut client>s1:7000#2/4294967296", 22, "'4294967296' is no number of a message, from 1: client>s1:7000#2/3 (or, from s1's side, "
						 "client<s1:7000#2/3)" },
	{ "cut client>s1:7000#?/3", 20, "a connection that was there before it was watched (#?) has no name for a fault; partition, isolate and "
					"loss reach it" },
	{ "cut client>s1:7000#0/3", 20, "'0' is no number of a connect, from 1: client>s1:7000#2" },
	{ "cut client>s1#1/3", 12, "'s1' has no port: client>s1:7000#2" },
	{ "cut client>s1:70000#1/3", 15, "'s1:70000' has no port from 1 to 65535, or *1 for the first that the kernel chose (faults act on TCP)" },
	{ "cut client>s1:/tmp/x#1/3", 15, "'s1:/tmp/x' has no port from 1 to 65535, or *1 for the first that the kernel chose (faults act on "
					  "TCP)" },
	{ "cut client>[fd00::x]:7#1/3", 13, "'fd00::x' is no IPv6 address" },
	{ "cut >s1:7000#1/3", 5, "'' is no process's name: s1, its child s1.1, after a restart s1'2" },
	{ "cut a!>s1:7000#1/3", 5, "'a!' is no process's name: s1, its child s1.1, after a restart s1'2" },
	{ "cut a>b_c:7000#1/3", 7, "'b_c' is no box's name or address" },
	{ "drop a~b:53/4", 6, "'a~b:53/4' is a datagram: no fault acts on a single one; loss between boxes does" },
	{ "drop a>b:1#1/1 times 0", 22, "'0' is no number from 1 to 4294967295" },
	{ "drop a>b:1#1/1 time 3", 16, "'time' does not belong here; did you mean 'times'? drop MESSAGE [times N]" },
	{ "cut a>b:1#1/1 for 0s", 19, "'0s' is no time at all: 1ns at least" },
	{ "cut a>b:1#1/1 lease 8760h", 21, "'8760h' is a year or more: times in a plan are shorter (8760h)" },
	{ "cut a>b:1#1/1 lease 99999999999h", 21, "'99999999999h' is no time: 300ms, 2s, 1.5s, 10m" },
	{ "cut a>b:1#1/1 lease 0ms", 21, "'0ms' is no time at all: 1ns at least" },
	{ "cut a>b:1#1/1 lease 30", 21, "'30' is no time: 300ms, 2s, 1.5s, 10m" },
	{ "cut a>b:1#1/1 lease", 20, "the line ends where a time should be: cut MESSAGE [oneway] [for TIME] [lease TIME]" },
	{ "cut a>b:1#1/1 oneway oneway", 22, "'oneway' is there twice" },
	{ "cut a>b:1#1/1 # the reply", 15, "a comment stands on a line of its own, that begins with #" },
	{ "reset a>b:1#1/1 oneway", 17, "'oneway' does not belong here: reset MESSAGE" },
	{ "hold a>b:1#1/1", 15, "for how long? hold MESSAGE for TIME" },
	{ "restart s1", 11, "after how long? restart PROCESS after TIME" },
	{ "pause s1", 9, "for how long? pause PROCESS [at MOMENT] for TIME" },
	{ "refuse a<b:1#1", 8, "a connection is spelled from who connects, with >: client>s1:7000#2" },
	{ "refuse a>b:1#1/4", 15, "'a>b:1#1/4' is a message; its connection is a>b:1#1" },
	{ "refuse", 7, "the connection is missing: refuse CONNECTION [timeout] (in a shell, quote the whole line: it takes > and < away)" },
	{ "partition a", 12, "the second group is missing: partition BOX,... | BOX,... [oneway] [from MOMENT] [for TIME] [lease TIME] (in a "
			     "shell, quote the whole line: it takes | away)" },
	{ "partition a,b | b,c", 17, "box 'b' is in both groups: a box cannot be parted from itself" },
	{ "partition a,b,a | c", 15, "box 'a' is named twice in one group" },
	{ "partition a, | c", 14, "'|' where a box should be: partition BOX,... | BOX,... [oneway] [from MOMENT] [for TIME] [lease TIME]" },
	{ "isolate a form recv c>s1:1#1/1", 11, "'form' does not belong here; did you mean 'from'? isolate BOX,... [oneway] [from MOMENT] "
						"[for TIME] [lease TIME]" },
	{ "crash s1 at sned a>b:1#1/1", 13, "'sned' is no moment; did you mean 'send'?" },
	{ "crash s1 at noon", 13, "'noon' is no moment: send MESSAGE, recv MESSAGE, connect CONNECTION, accept CONNECTION, exit PROCESS or "
				  "start PROCESS" },
	{ "crash s1 at", 12, "the line ends where a moment should be: crash PROCESS [at MOMENT] [silent]" },
	{ "crash box a,b", 13, "one box a line: crash box BOX [at MOMENT]" },
	{ "loss 0% a", 6, "'0%' is out of range: more than 0%, and 100% at most" },
	{ "loss 101% a", 6, "'101%' is out of range: more than 0%, and 100% at most" },
	{ "loss 100.0001% a", 6, "'100.0001%' is out of range: more than 0%, and 100% at most" },
	{ "loss 0.00001% a", 6, "'0.00001%' is no share of the packets: 5%, 0.1% (four decimals at most)" },
	{ "loss 5 a", 6, "'5' is no share of the packets: 5%, 0.1% (four decimals at most)" },
	{ "loss 5% a seed 0", 16, "'0' is no number from 1 to 18446744073709551615" },
	{ "rate 10 a", 6, "'10' is no rate, in bits a second: 64kbit, 10mbit, 1gbit" },
	{ "rate 0bit a", 6, "'0bit' is out of range: from 1bit to 1000gbit" },
	{ "fail Fsync EIO s1", 6, "'Fsync' is no system call: write, fsync, openat, ..." },
	{ "fail fsync EFOO s1", 12, "'EFOO' is no error: EIO, ENOSPC, ..." },
	{ "cut a>b:1#1/1\ncut a>b:1#1/2", 14, "a line break: each fault is given by itself" },
	{ "cut a>b:1#1/1!", 14, "the ! says that the label is racy, and is no part of it: leave it out, and give --racy" },
	{ "refuse a>b:1#1!", 15, "the ! says that the label is racy, and is no part of it: leave it out, and give --racy" },
	{ "cut a\x01", 6, "byte 0x01: a plan is plain text (ASCII)" },
	{ "cut \xc3\xa4>b:1#1/1", 5, "byte 0xc3: a plan is plain text (ASCII)" },
};

START_TEST(good_lines)
{
	const char *line = good[_i].line, *canonical = good[_i].canonical ? good[_i].canonical : line;
	struct fault fault, again;
	struct error e = { "" };
	int column = 0, err = fault_parse(line, strlen(line), &fault, &column, &e);

	ck_assert_msg(!err, "%s: %d: %s", line, column, e.text);
	ck_assert_str_eq(fault.text, canonical);
	ck_assert_int_eq(fault_parse(fault.text, strlen(fault.text), &again, &column, &e), 0);
	ck_assert_str_eq(again.text, canonical);
	ck_assert_int_eq(again.kind, fault.kind);
	ck_assert_int_eq(again.flags, fault.flags);
	ck_assert_int_eq(again.duration_ns, fault.duration_ns);
	fault_fini(&again);
	fault_fini(&fault);
}
END_TEST

START_TEST(bad_lines)
{
	struct fault fault = { .id = 77 };
	struct error e = { "" };
	int column = 0;

	ck_assert_int_eq(fault_parse(bad[_i].line, strlen(bad[_i].line), &fault, &column, &e), -EINVAL);
	ck_assert_str_eq(e.text, bad[_i].text);
	ck_assert_msg(column == bad[_i].column, "%s: column %d, not %d", bad[_i].line, column, bad[_i].column);
	ck_assert_uint_eq(fault.id, 77); /* untouched */
}
END_TEST

START_TEST(fields)
{
	const char *line = "partition a,b | c oneway from send x<[fd00::1]:*2#3/4 for 5us lease 6m";
	struct fault f;

	ck_assert_int_eq(fault_parse(line, strlen(line), &f, NULL, NULL), 0);
	ck_assert_int_eq(f.kind, FAULT_PARTITION);
	ck_assert_int_eq(f.flags, FAULT_F_ONEWAY);
	ck_assert_str_eq(f.from[1], "b");
	ck_assert_int_eq(f.from_columns[1], 13);
	ck_assert_ptr_null(f.from[2]);
	ck_assert_str_eq(f.to[0], "c");
	ck_assert_int_eq(f.at.kind, MOMENT_SEND);
	ck_assert(f.at.reply);
	ck_assert_uint_eq(f.at.message, 4);
	ck_assert_str_eq(f.at.connection.process, "x");
	ck_assert_str_eq(f.at.connection.box, "fd00::1");
	ck_assert_uint_eq(f.at.connection.port, 0);
	ck_assert_uint_eq(f.at.connection.port_order, 2);
	ck_assert_uint_eq(f.at.connection.ordinal, 3);
	ck_assert_uint_eq(f.duration_ns, 5000);
	ck_assert_uint_eq(f.lease_ns, 360000000000ull);
	fault_fini(&f);
}
END_TEST

/* A line is no string: what is behind its end is not looked at. */
START_TEST(bounded)
{
	char line[] = "cut a>b:1#1/123456", *exact;
	struct fault f;

	for (size_t n = 0; n < sizeof(line) - 1; n++) {
		exact = malloc(n + !n);
		memcpy(exact, line, n);
		if (!fault_parse(exact, n, &f, NULL, NULL)) {
			ck_assert_uint_gt(n, 12);
			fault_fini(&f);
		}
		free(exact);
	}
}
END_TEST

/* Any canonical line with a piece of another in it is read, or refused, and what is read is stable. */
START_TEST(mixed_lines)
{
	char line[512];
	size_t n_good = sizeof(good) / sizeof(*good), n;

	for (size_t a = 0; a < n_good; a++)
		for (size_t b = 0; b < n_good; b++)
			for (size_t cut = 0; cut < strlen(good[a].line); cut += 3) {
				struct fault f, again;

				n = (size_t)snprintf(line, sizeof(line), "%.*s%s", (int)cut, good[a].line,
						     good[b].line + cut % strlen(good[b].line));
				if (fault_parse(line, n, &f, NULL, NULL))
					continue;
				ck_assert_msg(!fault_parse(f.text, strlen(f.text), &again, NULL, NULL), "%s", f.text);
				ck_assert_str_eq(f.text, again.text);
				fault_fini(&f);
				fault_fini(&again);
			}
}
END_TEST

START_TEST(nearest_words)
{
	struct nearest nearest;

	ck_assert_uint_eq(nearest_distance("kitten", 6, "sitting", 7, 9), 3);
	ck_assert_uint_eq(nearest_distance("kitten", 6, "sitting", 7, 2), 2);
	ck_assert_uint_eq(nearest_distance("", 0, "abc", 3, 9), 3);
	ck_assert_uint_eq(nearest_distance("sned", 4, "send", 4, 9), 1);
	nearest_begin(&nearest, "clinet", 6);
	nearest_offer(&nearest, "server");
	ck_assert_ptr_null(nearest.best);
	nearest_offer(&nearest, "clients");
	nearest_offer(&nearest, "client");
	ck_assert_str_eq(nearest.best, "client");
}
END_TEST

/* Whoever is asked first: the state is the same. */
START_TEST(states_join)
{
	static const enum fault_state states[] = { FAULT_STATE_NONE,    FAULT_STATE_NEVER_FIRED, FAULT_STATE_ARMED,   FAULT_STATE_WOULD_FIRE,
						   FAULT_STATE_LIFTED,  FAULT_STATE_EXPIRED,	 FAULT_STATE_FIRED,   FAULT_STATE_UNKNOWN,
						   FAULT_STATE_REFUSED };

	_Static_assert(sizeof(states) / sizeof(*states) == FAULT_STATE_COUNT, "each, the worst last");
	for (int i = 0; i < FAULT_STATE_COUNT; i++)
		for (int k = 0; k < FAULT_STATE_COUNT; k++) {
			struct fault_receipt a = { .state = states[i] }, b = { .state = states[k] };

			fault_receipt_join(&a, &b);
			ck_assert_str_eq(fault_state_name(a.state), fault_state_name(states[i > k ? i : k]));
		}
}
END_TEST

/* The first trigger, the slowest effect, the last end; one that did not happen has no time. */
START_TEST(times_join)
{
	static const uint64_t times[] = { 0, 3, 5 };

	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++) {
			struct fault_receipt a = { .fired_ns = times[i], .effect_ns = times[i], .ended_ns = times[i], .lateness_ns = times[i] },
					     b = { .fired_ns = times[k], .effect_ns = times[k], .ended_ns = times[k], .lateness_ns = times[k] };
			uint64_t last = times[i > k ? i : k];

			fault_receipt_join(&a, &b);
			ck_assert_uint_eq(a.fired_ns, !i ? times[k] : !k ? times[i] : times[i < k ? i : k]);
			ck_assert(a.effect_ns == last && a.ended_ns == last && a.lateness_ns == last);
		}
}
END_TEST

START_TEST(receipts_join)
{
	struct fault_receipt a = { .id = 1, .state = FAULT_STATE_NEVER_FIRED, .why = strdup("") },
			     b = { .id = 1, .state = FAULT_STATE_FIRED, .fired_ns = 5, .packets = 3, .why = strdup("two packets late") };

	fault_receipt_join(&a, &b);
	ck_assert_int_eq(a.state, FAULT_STATE_FIRED);
	ck_assert_uint_eq(a.fired_ns, 5);
	ck_assert_uint_eq(a.packets, 3);
	ck_assert_str_eq(a.why, "two packets late");
	fault_receipt_fini(&a);
	fault_receipt_fini(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault");
	TCase *tc = tcase_create("fault");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, good_lines, 0, sizeof(good) / sizeof(*good));
	tcase_add_loop_test(tc, bad_lines, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(tc, fields);
	tcase_add_test(tc, bounded);
	tcase_add_test(tc, mixed_lines);
	tcase_add_test(tc, nearest_words);
	tcase_add_test(tc, receipts_join);
	tcase_add_test(tc, states_join);
	tcase_add_test(tc, times_join);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
