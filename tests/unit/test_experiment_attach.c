/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Experiment files: boxes that are there before the run, and processes in them that are attached. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/experiment.h"
#include "tests/scratch.h"

static char folder[64], path[96];
static struct error e;

static void setup(void)
{
	scratch_name(folder, sizeof(folder), "test_attach.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/x.yaml", folder);
	memset(&e, 0, sizeof(e));
}

static void teardown(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(folder), 0);
}

static int read_text(const char *text, struct experiment **ret_x)
{
	FILE *f = fopen(path, "w");

	*ret_x = NULL;
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	return experiment_read(path, ret_x, &e);
}

#define W "workload: {name: w, box: a, run: [sh]}\n"
#define HERE "experiment: m\nboxes: [{name: a, netns: /proc/self/ns/net}]\nprocesses:\n- "
#define MADE "experiment: m\nboxes: [a]\nprocesses:\n- "
#define AGENTS "experiment: m\nboxes: [a, {name: b, agent: web1}]\nprocesses:\n- "

/* Each way to say which process, and what stands for it until it is known; those that are attached come first. */
START_TEST(test_ways)
{
	char text[1000], wanted[128];
	struct experiment *x;

	snprintf(text, sizeof(text), HERE "{name: p, box: a, run: [sh]}\n- {name: one, box: a, attach: {pid: %d}}\n"
		 "- {name: q, box: a, run: [sh]}\n- {name: two, box: a, attach: {cgroup: /x.slice}}\n"
		 "- {name: three, box: a, attach: {executable: /bin/sh}}\n- {name: four, box: a, attach: {listen: 65535}}\n"
		 "roles: {r: [one, p]}\n" W, getppid());
	ck_assert_msg(!read_text(text, &x), "%s", e.text);
	ck_assert_str_eq(x->netns[0], "/proc/self/ns/net");
	ck_assert_uint_eq(x->n_processes, 6);
	ck_assert_str_eq(x->processes[0].name, "one");
	ck_assert_uint_eq(x->processes[0].attach->pid, (unsigned)getppid());
	ck_assert_ptr_null(x->processes[0].run);
	snprintf(wanted, sizeof(wanted), "(attached by pid %d)", getppid());
	ck_assert_str_eq(x->processes[0].attach->text, wanted);
	snprintf(wanted, sizeof(wanted), "%s:5:31", path);
	ck_assert_str_eq(x->processes[0].attach->place, wanted);
	ck_assert_str_eq(x->processes[1].attach->cgroup, "/x.slice");
	ck_assert_str_eq(x->processes[1].attach->text, "(attached by cgroup /x.slice)");
	ck_assert_ptr_nonnull(strstr(x->processes[2].attach->executable, "sh"));
	ck_assert_uint_eq(x->processes[3].attach->port, 65535);
	ck_assert_str_eq(x->processes[3].attach->text, "(attached by listening port 65535)");
	ck_assert_str_eq(x->processes[4].name, "p");
	ck_assert_str_eq(x->processes[5].name, "q");
	ck_assert(!x->processes[4].attach && !x->processes[5].attach);
	experiment_free(x);
}
END_TEST

static const struct {
	const char *text, *place, *words;
} bad[] = {
	{ HERE "{name: p, box: a}\n" W, "4:3", "has no 'run'; it needs name, box and run (or attach)" },
	{ HERE "{name: p, box: a, attach: {}}\n" W, "4:29", "one of pid, cgroup, executable, listen and container" },
	{ HERE "{name: p, box: a, attach: {pid: 1, listen: 2}}\n" W, "4:29", "one of pid, cgroup, executable, listen and container, not by several" },
	{ HERE "{name: p, box: a, attach: 12}\n" W, "4:29", "attach must be a mapping" },
	{ HERE "{name: p, box: a, attach: {port: 2}}\n" W, "4:30", "unknown key 'port' in attach; known are pid, cgroup" },
	{ HERE "{name: p, box: a, run: [sh], attach: {pid: 1}}\n" W, "4:26", "'run' and 'attach' do not go together" },
	{ HERE "{name: p, box: a, attach: {pid: 1}, stop: SIGINT}\n" W, "4:45", "'stop' and 'attach' do not go together" },
	{ HERE "{name: p, box: a, attach: {pid: 1}, ready: {listen: 1}}\n" W, "4:46", "'ready' and 'attach' do not go together" },
	{ HERE "{name: p, box: a, attach: {pid: 1}, user: root}\n" W, "4:45", "'user' and 'attach' do not go together" },
	{ HERE "{name: p, box: a, attach: {pid: 1}, env: {A: b}}\n" W, "4:44", "'env' and 'attach' do not go together" },
	{ HERE "{name: p, box: a, attach: {pid: 1}, dir: /}\n" W, "4:44", "'dir' and 'attach' do not go together" },
	{ HERE "{name: p, box: a, attach: {pid: 0}}\n" W, "4:35", "pid must be a number from 1 to 4194304" },
	{ HERE "{name: p, box: a, attach: {pid: -1}}\n" W, "4:35", "pid must be a number" },
	{ HERE "{name: p, box: a, attach: {pid: 4194305}}\n" W, "4:35", "pid must be a number" },
	{ HERE "{name: p, box: a, attach: {pid: 4194304}}\n" W, "4:35", "there is no process 4194304" },
	{ HERE "{name: p, box: a, attach: {listen: 0}}\n" W, "4:38", "listen must be a number from 1 to 65535" },
	{ HERE "{name: p, box: a, attach: {listen: 65536}}\n" W, "4:38", "listen must be a number from 1 to 65535" },
	{ HERE "{name: p, box: a, attach: {executable: redis}}\n" W, "4:42", "the path of a program, like /usr/bin/redis" },
	{ HERE "{name: p, box: a, attach: {executable: ./redis}}\n" W, "4:42", "does not exist" },
	{ HERE "{name: p, box: a, attach: {executable: [a]}}\n" W, "4:42", "must be a single value" },
	{ HERE "{name: p, box: a, attach: {cgroup: x.slice}}\n" W, "4:38", "as /proc/PID/cgroup shows it" },
	{ HERE "{name: p, box: a, attach: {cgroup: ''}}\n" W, "4:38", "as /proc/PID/cgroup shows it" },
	{ HERE "{name: p, box: b, attach: {pid: 1}}\n" W, "4:18", "box 'b' is not in boxes: a" },
	{ MADE "{name: p, box: a, attach: {pid: 1}}\n" W, "4:29", "box 'a' is made for the run" },
	{ "experiment: m\nboxes: [a]\nworkload: {name: w, box: a, attach: {pid: 1}}\n", "3:29", "unknown key 'attach' in workload" },
	{ "experiment: m\nboxes: [{name: a, netns: /etc}]\n" W, "2:26", "/etc is not a network namespace" },
	{ "experiment: m\nboxes: [{name: a, netns: no-such-one}]\n" W, "2:26", "no network namespace 'no-such-one'" },
	{ "experiment: m\nboxes: [{name: a, netns: ''}]\n" W, "2:26", "is not a network namespace" },
	{ "experiment: m\nboxes: [{name: a, netns: {}}]\n" W, "2:26", "netns must be a single value" },
	{ HERE "{name: p, box: a, attach: {container: a b}}\n" W, "4:41", "container must be the id or the name of one, or NAMESPACE/POD/NAME" },
	{ "experiment: m\nboxes: [{name: a, container: ''}]\n" W, "2:30", "container must be the id or the name" },
	{ "experiment: m\nboxes: [{name: a, container: x, netns: host}]\n" W, "2:30", "not both" },
	{ "experiment: m\nboxes: [{name: a, netns: host}, b]\n" W, "2:33", "'a' and 'b' have no network in common: give each box a netns" },
};

/* Each mistake is refused where it stands, in one line that says what would be right. */
START_TEST(test_refused)
{
	char place[160];
	struct experiment *x;

	ck_assert_int_eq(read_text(bad[_i].text, &x), -EINVAL);
	snprintf(place, sizeof(place), "%s:%s: ", path, bad[_i].place);
	ck_assert_msg(!strncmp(e.text, place, strlen(place)) && strstr(e.text, bad[_i].words) && !strchr(e.text, '\n'),
		      "%s\nwanted %s%s", e.text, place, bad[_i].words);
}
END_TEST

/* The reader itself is part of the harness. */
START_TEST(test_self)
{
	char text[300];
	struct experiment *x;

	snprintf(text, sizeof(text), HERE "{name: p, box: a, attach: {pid: %d}}\n" W, getpid());
	ck_assert_int_eq(read_text(text, &x), -EINVAL);
	ck_assert_msg(strstr(e.text, "is bop itself") != NULL, "%s", e.text);
}
END_TEST

/* On the boxes of agents: what runs there, and what their boxes are, is theirs to say. */
START_TEST(test_elsewhere)
{
	static const char good[] = AGENTS "{name: p, box: b, attach: {pid: 4194304}}\n"
				   "- {name: q, box: a, attach: {executable: bin/nobody-has-it}}\n" W;
	static const char theirs[] = "experiment: m\nboxes: [{name: a, netns: host}]\n" W;
	struct experiment *x = NULL;

	ck_assert_msg(!experiment_parse("x.yaml", "/far/x.yaml", good, strlen(good), &x, &e), "%s", e.text);
	ck_assert_uint_eq(x->processes[0].attach->pid, 4194304);
	ck_assert_str_eq(x->processes[0].attach->place, "x.yaml:4:29");
	ck_assert_str_eq(x->processes[1].attach->executable, "/far/bin/nobody-has-it");
	experiment_free(x);
	ck_assert_int_eq(experiment_parse("x.yaml", "/far/x.yaml", theirs, strlen(theirs), &x, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, "x.yaml:2:26: ") && strstr(e.text, "tfj --box a=NETNS"), "%s", e.text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("experiment_attach");
	TCase *tc = tcase_create("experiment_attach");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_ways);
	tcase_add_loop_test(tc, test_refused, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(tc, test_self);
	tcase_add_test(tc, test_elsewhere);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
