/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Experiment files: what is read from good ones, and that every bad one is refused at its place with one clear line. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/experiment.h"
#include "proto/event.h"
#include "tests/heap.h"
#include "tests/scratch.h"

static char folder[64];
static struct error e;

static void setup(void)
{
	scratch_name(folder, sizeof(folder), "test_experiment.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	memset(&e, 0, sizeof(e));
}

static char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void file_write(const char *name, const char *text, size_t size, mode_t mode)
{
	FILE *f = fopen(path_of(name), "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, size, f), size);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(path_of(name), mode), 0);
}

static void teardown(void)
{
	const char *names[] = { "x.yaml", "server", "data", "sub/tool", "sub" };

	for (size_t i = 0; i < 5; i++)
		remove(path_of(names[i]));
	ck_assert_int_eq(rmdir(folder), 0);
}

static int read_bytes(const char *text, size_t size, struct experiment **ret_x)
{
	*ret_x = NULL;
	file_write("x.yaml", text, size, 0644);
	return experiment_read(path_of("x.yaml"), ret_x, &e);
}

static struct experiment *read_good(const char *text)
{
	struct experiment *x;
	int err = read_bytes(text, strlen(text), &x);

	ck_assert_msg(!err, "%s", e.text);
	ck_assert_ptr_nonnull(x);
	return x;
}

/* The text is refused with -EINVAL, at place ("line:column", or "" for none), saying words, in one line. */
static void refused_bytes(const char *text, size_t size, const char *place, const char *words)
{
	char expected[300];
	struct experiment *x;
	int err = read_bytes(text, size, &x);

	snprintf(expected, sizeof(expected), "%s:%s%s", path_of("x.yaml"), place, *place ? ":" : "");
	ck_assert_msg(err == -EINVAL, "%d for: %.200s", err, text);
	ck_assert_ptr_null(x);
	ck_assert_msg(!strncmp(e.text, expected, strlen(expected)), "'%s' is not at %s", e.text, expected);
	ck_assert_msg(strstr(e.text, words) != NULL, "'%s' does not say '%s'", e.text, words);
	ck_assert_ptr_null(strchr(e.text, '\n'));
}

static void refused(const char *text, const char *place, const char *words)
{
	refused_bytes(text, strlen(text), place, words);
}

#define MINIMAL "experiment: m\nboxes: [a]\nworkload: {name: w, box: a, run: [sh, -c, 'exit 0']}\n"

/* The smallest experiment: one box, one workload, every default. */
START_TEST(test_minimal)
{
	struct experiment *x = read_good(MINIMAL);

	ck_assert_str_eq(x->name, "m");
	ck_assert_str_eq(x->text, MINIMAL);
	ck_assert(x->path[0] == '/' && strstr(x->path, "/x.yaml"));
	ck_assert_str_eq(x->boxes[0], "a");
	ck_assert_ptr_null(x->boxes[1]);
	ck_assert_uint_eq(x->n_processes, 0);
	ck_assert_uint_eq(x->n_workloads, 1);
	ck_assert_str_eq(x->workloads[0].name, "w");
	ck_assert_int_eq(x->workloads[0].line, 3);
	ck_assert(x->workloads[0].run[0][0] == '/');
	ck_assert_str_eq(x->workloads[0].run[2], "exit 0");
	ck_assert_ptr_null(x->workloads[0].run[3]);
	ck_assert_ptr_nonnull(x->workloads[0].env);
	ck_assert_ptr_null(x->workloads[0].env[0]);
	ck_assert_ptr_null(x->check_run);
	ck_assert_str_eq(x->check_box, "a");
	ck_assert_uint_eq(x->timeout_ns, 60000000000u);
	ck_assert_uint_eq(x->ready_timeout_ns, 10000000000u);
	ck_assert_uint_eq(x->grace_ns, 2000000000u);
	ck_assert(!x->deferred);
	ck_assert_uint_eq(x->content_bytes, 0);
	ck_assert_uint_eq(x->transports, 0);
	ck_assert_ptr_null(x->redact);
	experiment_free(x);
}
END_TEST

/* Every key has its effect. */
START_TEST(test_full)
{
	const struct experiment_process *p;
	struct experiment *x;

	mkdir(path_of("sub"), 0755);
	file_write("server", "#!/bin/sh\n", 10, 0755);
	file_write("sub/tool", "#!/bin/sh\n", 10, 0755);
	x = read_good("experiment: full-1\n"
		      "boxes: [a, b]\n"
		      "path: [sub, /nowhere]\n"
		      "processes:\n"
		      "  - {name: p, box: a, run: [server, '7', \"\"], user: root, env: {A: 1, B: ''},\n"
		      "     dir: sub, stop: SIGINT, ready: {listen: 65535}}\n"
		      "  - {name: q, box: b, run: [./sub/tool], stop: quit, ready: {run: [tool, x]}}\n"
		      "roles: {server: [p, q], client: [w]}\n"
		      "workload:\n"
		      "  - {name: w, box: b, run: [tool]}\n"
		      "  - {name: v, box: a, run: [/bin/sh]}\n"
		      "check: {run: [tool, check], box: a}\n"
		      "timeout: 2m\nready_timeout: 500ms\ngrace: 0s\nsend: deferred\n"
		      "content: {bytes: 4096, redact: ['password=\\S+', '[0-9]{16}']}\n"
		      "trace: [pipe, udp]\n");
	ck_assert_uint_eq(x->n_processes, 2);
	p = &x->processes[0];
	ck_assert_str_eq(p->run[0], path_of("server"));
	ck_assert_str_eq(p->run[1], "7");
	ck_assert_str_eq(p->run[2], "");
	ck_assert_str_eq(p->user, "root");
	ck_assert_str_eq(p->env[0], "A=1");
	ck_assert_str_eq(p->env[1], "B=");
	ck_assert_ptr_null(p->env[2]);
	ck_assert_str_eq(p->directory, path_of("sub"));
	ck_assert_int_eq(p->stop_signal, SIGINT);
	ck_assert_uint_eq(p->ready_port, 65535);
	ck_assert_ptr_null(p->ready_run);
	p = &x->processes[1];
	ck_assert_int_eq(p->stop_signal, SIGQUIT);
	ck_assert(strstr(p->run[0], "sub/tool") && p->run[0][0] == '/');
	ck_assert_str_eq(p->ready_run[0], path_of("sub/tool"));
	ck_assert_str_eq(p->ready_run[1], "x");
	ck_assert_uint_eq(x->n_roles, 2);
	ck_assert_str_eq(x->roles[0].name, "server");
	ck_assert_str_eq(x->roles[0].members[1], "q");
	ck_assert_str_eq(x->roles[1].members[0], "w");
	ck_assert_uint_eq(x->n_workloads, 2);
	ck_assert_str_eq(x->workloads[1].name, "v");
	ck_assert_str_eq(x->check_box, "a");
	ck_assert_str_eq(x->check_run[1], "check");
	ck_assert_uint_eq(x->timeout_ns, 120000000000u);
	ck_assert_uint_eq(x->ready_timeout_ns, 500000000u);
	ck_assert_uint_eq(x->grace_ns, 0);
	ck_assert(x->deferred);
	ck_assert_uint_eq(x->content_bytes, 4096);
	ck_assert_uint_eq(x->transports, 1 << TRANSPORT_TCP | 1 << TRANSPORT_PIPE | 1 << TRANSPORT_UDP);
	ck_assert_str_eq(x->redact[0], "password=\\S+");
	ck_assert_ptr_null(x->redact[2]);
	ck_assert(!strncmp(x->search_path, path_of("sub:/nowhere:"), strlen(path_of("sub:/nowhere:"))));
	ck_assert_ptr_nonnull(strstr(x->search_path, ":/usr/bin:"));
	experiment_free(x);
}
END_TEST

#define W "workload: {name: w, box: a, run: [sh]}\n"
#define HEAD "experiment: m\nboxes: [a]\n"

static const struct {
	const char *text, *place, *words;
} bad[] = {
	/* no document at all, or not one */
	{ "", "", "empty" },
	{ "# nothing\n", "", "empty" },
	{ "just words\n", "1:1", "must be a mapping" },
	{ "- a\n", "1:1", "must be a mapping" },
	{ "experiment: [a\nboxes: b\n", "2:6", "not valid YAML" },
	{ "experiment: m\n\tboxes: [a]\n", "2:1", "not valid YAML" },
	{ "experiment: \"m\n", "2:1", "not valid YAML" },
	{ "experiment: *nobody\n", "1:13", "alias" },
	{ MINIMAL "---\n" MINIMAL, "4:1", "second document" },
	{ "experiment: m\n\x01\n", "2:1", "control character" },
	{ "experiment: \xff\n", "1:13", "not UTF-8" },
	{ "experiment: \xc3\n", "1:13", "not UTF-8" },
	{ "experiment: \xed\xa0\x80\n", "1:13", "not UTF-8" },
	/* keys */
	{ "experiment: m\n" W, "1:1", "'boxes' is missing" },
	{ "boxes: [a]\n" W, "1:1", "'experiment' is missing" },
	{ HEAD, "1:1", "'workload' is missing" },
	{ HEAD W "timeuot: 10s\n", "4:1", "did you mean 'timeout'?" },
	{ HEAD W "color: red\n", "4:1", "known are experiment, boxes" },
	{ HEAD W "[a]: red\n", "4:1", "must be a word" },
	{ HEAD W "boxes: [a]\n", "4:1", "given twice" },
	{ HEAD "workload: {name: w, box: a, run: [sh], ready: {listen: 1}}\n", "3:40", "unknown key 'ready' in workload" },
	/* types */
	{ "experiment: [m]\nboxes: [a]\n" W, "1:13", "experiment must be a single value" },
	{ "experiment:\nboxes: [a]\n" W, "1:12", "has no value" },
	{ "experiment: m\nboxes: a\n" W, "2:8", "boxes must be a sequence" },
	{ "experiment: m\nboxes: []\n" W, "2:8", "1 to 200" },
	{ "experiment: m\nboxes: [{a: b}]\n" W, "2:10", "unknown key 'a' in a box" },
	{ "experiment: m\nboxes: [{agent: b}]\n" W, "2:9", "this box has no 'name'" },
	{ "experiment: m\nboxes: [{name: [b]}]\n" W, "2:16", "box must be a single value" },
	{ "experiment: m\nboxes: [{name: a, agent: {}}]\n" W, "2:26", "agent must be a single value" },
	{ "experiment: m\nboxes: [{name: a, agent: ''}]\n" W, "2:26", "name of a host or of a key" },
	{ HEAD "processes: {}\n" W, "3:12", "processes must be a sequence" },
	{ HEAD "processes: [sh]\n" W, "3:13", "process must be a mapping" },
	{ HEAD "workload: sh\n", "3:11", "workload must be a mapping" },
	{ HEAD "workload: []\n", "3:11", "workload is empty" },
	{ HEAD "workload: {name: w, box: a, run: sh}\n", "3:34", "run must be a sequence" },
	{ HEAD "workload: {name: w, box: a, run: []}\n", "3:34", "run is empty" },
	{ HEAD "workload: {name: w, box: a, run: [sh, [a]]}\n", "3:39", "run must be a single value" },
	{ HEAD "workload: {name: w, box: a, run: [sh, ]}\npath: x\n", "4:7", "path must be a sequence" },
	{ HEAD W "timeout: 10\n", "4:10", "timeout must be a duration like 10s" },
	{ HEAD W "timeout: soon\n", "4:10", "timeout must be a duration like 10s" },
	{ HEAD W "timeout: -1s\n", "4:10", "must be a duration" },
	{ HEAD W "timeout: [1s]\n", "4:10", "must be a duration" },
	{ HEAD W "timeout: 0s\n", "4:10", "more than nothing" },
	{ HEAD W "timeout: 999999h\n", "4:10", "not more than a week" },
	{ HEAD W "grace: 1d\n", "4:8", "grace must be a duration" },
	{ HEAD W "send: later\n", "4:7", "neither live nor deferred" },
	{ HEAD W "check: [sh]\n", "4:8", "check must be a mapping" },
	{ HEAD W "check: {box: a}\n", "4:8", "check needs run" },
	/* content */
	{ HEAD W "trace: udp\n", "4:8", "trace must be a sequence" },
	{ HEAD W "trace: [udp, sctp]\n", "4:8", "'sctp' is none of tcp, udp, unix, pipe" },
	{ HEAD W "content: 64\n", "4:10", "content must be a mapping" },
	{ HEAD W "content: {redact: [a]}\n", "4:10", "content needs bytes" },
	{ HEAD W "content: {bytes: 0}\n", "4:18", "1 to 4096" },
	{ HEAD W "content: {bytes: 4097}\n", "4:18", "1 to 4096" },
	{ HEAD W "content: {bytes: 64, redact: a}\n", "4:30", "redact must be a sequence" },
	{ HEAD W "content: {bytes: 64, redact: ['a(b']}\n", "4:30", "'a(b' is no regular expression: missing closing parenthesis" },
	{ HEAD W "content: {bytes: 64, redact: [x, '']}\n", "4:30", "pattern 2 has 0 bytes" },
	{ HEAD W "content: {bytes: 64, redact: ['(*UTF)x']}\n", "4:30", "is no regular expression" },
	/* names */
	{ "experiment: a/b\nboxes: [a]\n" W, "1:13", "names are letters" },
	{ "experiment: m\nboxes: [a.b]\n" W, "2:9", "names are letters" },
	{ "experiment: m\nboxes: [_a]\n" W, "2:9", "names are letters" },
	{ "experiment: m\nboxes: [a, a]\n" W, "2:12", "listed twice" },
	{ "experiment: m\nboxes: [a, A]\n" W, "2:12", "listed twice" },
	{ "experiment: m\nboxes: [a_b]\n" W, "2:9", "host names" },
	{ "experiment: m\nboxes: [a-]\n" W, "2:9", "host names" },
	{ "experiment: m\nboxes: ['10']\n" W, "2:9", "taken for an address" },
	{ "experiment: m\nboxes: [localhost]\n" W, "2:9", "taken for an address" },
	{ "experiment: m\nboxes: [a2345678901234567890123456789012x]\n" W, "2:9", "1 to 32" },
	{ HEAD "processes: [{name: w, box: a, run: [sh]}]\n" W, "4:18", "already used in line 3" },
	{ HEAD "workload: {name: check, box: a, run: [sh]}\n", "3:18", "is the check's" },
	{ HEAD "workload: {box: a, run: [sh]}\n", "3:11", "has no 'name'" },
	{ HEAD "workload: {name: w, box: b, run: [sh]}\n", "3:26", "box 'b' is not in boxes: a" },
	{ HEAD W "check: {run: [sh], box: z}\n", "4:25", "box 'z' is not in boxes: a" },
	{ HEAD W "roles: {r: [nobody]}\n", "4:13", "name of no process" },
	{ HEAD W "roles: {r: [w, w]}\n", "4:16", "listed twice" },
	{ HEAD W "roles: {r: [w], s: [w]}\n", "4:21", "two roles" },
	{ HEAD W "roles: {r: w}\n", "4:12", "must be a sequence" },
	/* programs, users, folders, signals, variables, readiness */
	{ HEAD "workload: {name: w, box: a, run: [no-such-thing]}\n", "3:35", "'no-such-thing' is not in this file's folder" },
	{ HEAD "path: [../b]\nworkload: {name: w, box: a, run: [no-such-thing]}\n", "4:35", "is not in ../b, this file's" },
	{ HEAD "workload: {name: w, box: a, run: [./thing]}\n", "3:35", "'./thing' does not exist" },
	{ HEAD "workload: {name: w, box: a, run: [data]}\n", "3:35", "not an executable file" },
	{ HEAD "workload: {name: w, box: a, run: [/etc]}\n", "3:35", "not an executable file" },
	{ HEAD "workload: {name: w, box: a, run: [\"\"]}\n", "3:35", "is not in" },
	{ HEAD "workload: {name: w, box: a, run: [sh, \"a\\0b\"]}\n", "3:39", "NUL" },
	{ HEAD W "path: ['a:b']\n", "4:8", "a colon" },
	{ HEAD W "check: {run: [nope]}\n", "4:15", "'nope' is not in" },
	{ HEAD "workload: {name: w, box: a, run: [sh], user: no-such-user}\n", "3:46", "not known on this machine" },
	{ HEAD "workload: {name: w, box: a, run: [sh], dir: data}\n", "3:45", "is not a folder" },
	{ HEAD "workload: {name: w, box: a, run: [sh], env: [a]}\n", "3:45", "env must be a mapping" },
	{ HEAD "workload: {name: w, box: a, run: [sh], env: {1a: b}}\n", "3:46", "no name of a variable" },
	{ HEAD "workload: {name: w, box: a, run: [sh], env: {A: b, A: c}}\n", "3:52", "given twice" },
	{ HEAD "workload: {name: w, box: a, run: [sh], env: {BOP_RUN_DIR: b}}\n", "3:46", "set by bop" },
	{ HEAD "workload: {name: w, box: a, run: [sh], env: {A: }}\n", "3:49", "has no value" },
	{ HEAD "processes: [{name: p, box: a, run: [sh], stop: SIGNOPE}]\n" W, "3:48", "like SIGTERM" },
	{ HEAD "processes: [{name: p, box: a, run: [sh], ready: {}}]\n" W, "3:49", "{listen: PORT} or" },
	{ HEAD "processes: [{name: p, box: a, run: [sh], ready: {listen: 1, run: [sh]}}]\n" W, "3:49", "{listen: PORT} or" },
	{ HEAD "processes: [{name: p, box: a, run: [sh], ready: {listen: 65536}}]\n" W, "3:58", "1 to 65535" },
	{ HEAD "processes: [{name: p, box: a, run: [sh], ready: {listen: -1}}]\n" W, "3:58", "1 to 65535" },
	{ HEAD "processes: [{name: p, box: a, run: [sh], ready: {lisen: 1}}]\n" W, "3:50", "did you mean 'listen'?" },
};

/* Each bad file is refused with -EINVAL, its line and column, and the words that help. */
START_TEST(test_refused)
{
	file_write("data", "x", 1, 0644);
	refused(bad[_i].text, bad[_i].place, bad[_i].words);
}
END_TEST

/* A NUL byte is found where it stands, even behind a complete document. */
START_TEST(test_nul)
{
	refused_bytes(MINIMAL "\0", sizeof(MINIMAL), "4:1", "control character");
}
END_TEST

/* Over 200 boxes are refused. */
START_TEST(test_many_boxes)
{
	char text[4000] = "experiment: m\nboxes: [";

	for (int i = 0; i < 201; i++)
		sprintf(text + strlen(text), "b%d, ", i);
	strcat(text, "]\nworkload: {name: w, box: b0, run: [sh]}\n");
	refused(text, "2:8", "201 boxes");
}
END_TEST

static char *repeated(const char *head, const char *unit, size_t n, const char *tail)
{
	char *text = malloc(strlen(head) + n * strlen(unit) + strlen(tail) + 1), *p;

	ck_assert_ptr_nonnull(text);
	p = stpcpy(text, head);
	while (n--)
		p = stpcpy(p, unit);
	strcpy(p, tail);
	return text;
}

/* Deep nesting, more than 1 MiB, very long lists and aliases that multiply are refused instead of eating memory. */
START_TEST(test_bombs)
{
	char *deep = repeated(HEAD "x: ", "[\n", 300000, ""), *huge = repeated(MINIMAL, "# word\n", 160000, "");
	char *lists = repeated(HEAD "path: [", "a, ", 2000, "]\n" W);
	char *anchors = repeated(HEAD "x: [", "&a b, ", 2000, "]\n" W);
	char *shared = repeated("experiment: m\nboxes: [a]\nworkload:\n- {name: w, box: a, run: &r [sh, ", "aaaaaaaaa, ", 900, "]}\n");
	char *aliases = repeated(shared, "- {name: w, box: a, run: *r}\n", 900, "");

	refused(deep, "34:1", "nested too deeply");
	refused(huge, "", "larger than 1 MiB");
	refused(lists, "3:7", "more than 1000");
	refused(anchors, "3:6005", "too many anchors");
	refused(aliases, "5:10", "already used");
	free(aliases);
	/* distinct names, one shared list of 900 words: 900 times 900 copies */
	aliases = malloc(200000);
	strcpy(aliases, shared);
	for (int i = 0; i < 900; i++)
		sprintf(aliases + strlen(aliases), "- {name: v%d, box: a, run: *r}\n", i);
	refused(aliases, "4", "aliases");
	free(aliases);
	free(shared);
	free(anchors);
	free(lists);
	free(huge);
	free(deep);
}
END_TEST

/* An alias may refer to what contains it; reading ends all the same. */
START_TEST(test_cycle)
{
	refused("experiment: m\nboxes: &b [a, *b]\n" W, "2:8", "must be a single value");
	refused("&x\nexperiment: m\nboxes: [a]\nworkload: *x\n", "2:1", "unknown key 'experiment' in workload");
}
END_TEST

/* Anchors may be used to say a thing once. */
START_TEST(test_anchor)
{
	struct experiment *x = read_good(HEAD "workload:\n- &w {name: w, box: a, run: &r [sh, -x]}\n"
					      "- {name: v, box: a, run: *r}\n");

	ck_assert_str_eq(x->workloads[1].run[1], "-x");
	experiment_free(x);
}
END_TEST

/* A byte order mark in front is no part of the first key. */
START_TEST(test_bom)
{
	experiment_free(read_good("\xef\xbb\xbf" MINIMAL));
}
END_TEST

/* What cannot be opened says why: no such file, a folder, a device. */
START_TEST(test_no_file)
{
	struct experiment *x = NULL;

	ck_assert_int_eq(experiment_read(path_of("none.yaml"), &x, &e), -ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "none.yaml: cannot open"));
	ck_assert_int_eq(experiment_read(folder, &x, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "a folder"));
	ck_assert_int_eq(experiment_read("/dev/zero", &x, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "no regular file"));
	ck_assert_ptr_null(x);
}
END_TEST

/* Every prefix of a good file, and every file with one byte changed, is read or refused, never worse. */
START_TEST(test_damage)
{
	static const char good[] = "experiment: m\nboxes: [a, b]\nprocesses:\n  - {name: p, box: a, run: [sh], env: {A: b}, "
				   "ready: {listen: 80}}\nroles: {r: [p]}\n" W "check: {run: [sh]}\ntimeout: 5s\n";
	static const char bytes[] = "\n [{:&*-\"\t\xc3";
	char text[sizeof(good)];
	struct experiment *x;

	for (size_t i = 0; i < sizeof(good); i++) {
		read_bytes(good, i, &x);
		experiment_free(x);
		for (size_t k = 0; good[i] && k < sizeof(bytes) - 1; k++) {
			memcpy(text, good, sizeof(good));
			text[i] = bytes[k];
			ck_assert(read_bytes(text, sizeof(text) - 1, &x) == 0 || e.text[0]);
			experiment_free(x);
		}
	}
}
END_TEST

#ifndef SANITIZED
/* Whichever allocation fails, reading says that there is no memory, and gives back all that it took. */
START_TEST(test_no_memory)
{
	static const char good[] = "experiment: m\nboxes: [a, b]\npath: [x, y]\nprocesses:\n  - {name: p, box: a, run: [sh, x], "
				   "env: {A: b}, dir: ., stop: INT, ready: {run: [sh]}}\nroles: {r: [p]}\n" W
				   "check: {run: [sh]}\ntimeout: 5s\ncontent: {bytes: 9, redact: [a, b]}\n";
	struct experiment *x = NULL;
	long failures = 0;
	int err;

	file_write("x.yaml", good, sizeof(good) - 1, 0644);
	do {
		char path[256];
		long before;

		strcpy(path, path_of("x.yaml"));
		memset(&e, 0, sizeof(e));
		before = heap.balance;
		heap_arm(++failures);
		err = experiment_read(path, &x, &e);
		heap_disarm();
		if (err) {
			ck_assert_msg(err == -ENOMEM, "allocation %ld: %d, %s", failures, err, e.text);
			ck_assert_msg(strstr(e.text, "no memory") != NULL, "allocation %ld: %s", failures, e.text);
			ck_assert_ptr_null(x);
			ck_assert_msg(heap.balance == before, "allocation %ld: %ld not freed", failures,
				      heap.balance - before);
		}
	} while (err);
	ck_assert_int_gt(failures, 50);
	experiment_free(x);
}
END_TEST
#endif

/* A text from elsewhere: boxes may say their agent; programs, users and folders that are not here are no mistake. */
START_TEST(test_elsewhere)
{
	static const char text[] = "experiment: m\nboxes: [{name: a, agent: web1}, {name: b}, c]\nworkload: "
				   "[{name: w, box: a, run: [no-such-program], user: nobody-here, dir: sub}, "
				   "{name: v, box: b, run: [bin/p]}]\n";
	struct experiment *x = NULL;
	struct error e = { "" };

	ck_assert_msg(!experiment_parse("x.yaml", "/far/x.yaml", text, strlen(text), &x, &e), "%s", e.text);
	ck_assert_uint_eq(x->n_boxes, 3);
	ck_assert_str_eq(x->agents[0], "web1");
	ck_assert(!x->agents[1] && !x->agents[2] && !strcmp(x->boxes[1], "b") && !strcmp(x->boxes[2], "c"));
	ck_assert_str_eq(x->workloads[0].run[0], "no-such-program");
	ck_assert_str_eq(x->workloads[0].directory, "/far/sub");
	ck_assert_str_eq(x->workloads[1].run[0], "/far/bin/p");
	ck_assert_str_eq(x->path, "/far/x.yaml");
	experiment_free(x);
	ck_assert_int_eq(experiment_parse("x.yaml", "x.yaml", text, strlen(text), &x, &e), -EINVAL);
	ck_assert_int_eq(experiment_parse("x.yaml", "/far/x.yaml", text, 20, &x, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "x.yaml:"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("experiment");
	TCase *tc = tcase_create("experiment");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_minimal);
	tcase_add_test(tc, test_full);
	tcase_add_loop_test(tc, test_refused, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(tc, test_elsewhere);
	tcase_add_test(tc, test_nul);
	tcase_add_test(tc, test_many_boxes);
	tcase_add_test(tc, test_bombs);
	tcase_add_test(tc, test_cycle);
	tcase_add_test(tc, test_anchor);
	tcase_add_test(tc, test_bom);
	tcase_add_test(tc, test_no_file);
	tcase_add_test(tc, test_damage);
#ifndef SANITIZED
	tcase_add_test(tc, test_no_memory);
#endif
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
