/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One process of an experiment file: its name, box, program, user, variables, folder, signal and
 * readiness. See experiment_part.h.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "collector/experiment_part.h"
#include "collector/program.h"

#define MAX_NAME 32u

/* X(key): the keys of a process, of a workload, of `ready`. */
#define PROCESS_KEYS(X) X(name) X(box) X(run) X(user) X(env) X(dir) X(stop) X(ready) X(attach)
#define WORKLOAD_KEYS(X) X(name) X(box) X(run) X(user) X(env) X(dir)
#define READY_KEYS(X) X(listen) X(run)

#define AS_PROCESS(key) PROCESS_##key,
#define AS_READY(key) READY_##key,
#define AS_WORD(key) #key,
enum { PROCESS_KEYS(AS_PROCESS) PROCESS_COUNT };
enum { READY_KEYS(AS_READY) READY_COUNT };

static const char *const process_keys[] = { PROCESS_KEYS(AS_WORD) NULL };
static const char *const workload_keys[] = { WORKLOAD_KEYS(AS_WORD)
						     NULL }; /* the first of process_keys */
static const char *const ready_keys[] = { READY_KEYS(AS_WORD) NULL };

int read_no_memory(const struct reading *r)
{
	return error_set(r->e, -ENOMEM, "%s: no memory", r->x->path);
}

bool words_contain(char *const *words, const char *word)
{
	for (; words && *words; words++)
		if (!strcmp(*words, word))
			return true;
	return false;
}

/* Names end up in labels, whose own signs are . > < : # / and ' */
static int name_check(const struct reading *r, int node, const char *what, const char *name)
{
	struct in_addr address;
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) &&
		    (i == 0 || (name[i] != '_' && name[i] != '-')))
			return yaml_refuse(r->yaml, node, r->e,
					   "%s '%.60s': names are letters, digits, _ and -, and "
					   "begin with a letter or digit",
					   what, name);
	if (n < 1 || n > MAX_NAME)
		return yaml_refuse(r->yaml, node, r->e, "%s '%.60s': names have 1 to %u characters",
				   what, name, MAX_NAME);
	if (inet_aton(name, &address) || !strcasecmp(name, "localhost"))
		return yaml_refuse(r->yaml, node, r->e,
				   "%s '%s' would be taken for an address; choose another", what,
				   name);
	return 0;
}

int read_name(const struct reading *r, int node, const char *what, char **ret_name)
{
	int err = yaml_string(r->yaml, node, what, ret_name, r->e);

	return err ? err : name_check(r, node, what, *ret_name);
}

int read_box(const struct reading *r, int node, char **ret_box)
{
	char list[200] = "";
	int err = yaml_string(r->yaml, node, "box", ret_box, r->e);

	if (err || words_contain(r->x->boxes, *ret_box))
		return err;
	for (char **box = r->x->boxes; *box; box++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", *box);
	}
	return yaml_refuse(r->yaml, node, r->e, "box '%.60s' is not in boxes: %s", *ret_box, list);
}

/* What is relative to the file's folder becomes absolute; the rest is looked up where it runs. Takes run. */
static int run_elsewhere(const struct reading *r, char **run, char ***ret_run)
{
	char *program = NULL;

	if (strchr(run[0], '/') && program_absolute(r->folder, run[0], &program) < 0) {
		yaml_strings_free(run);
		return read_no_memory(r);
	}
	if (program) {
		free(run[0]);
		run[0] = program;
	}
	*ret_run = run;
	return 0;
}

int read_run(const struct reading *r, int node, char ***ret_run)
{
	char **run = NULL, *program = NULL;
	int err, at;

	err = yaml_strings(r->yaml, node, "run", &run, r->e);
	if (err)
		return err;
	at = yaml_item(r->yaml, node, 0);
	if (r->elsewhere)
		return run_elsewhere(r, run, ret_run);
	err = program_find(run[0], r->x->search_path, r->folder, &program);
	if (err == -EACCES)
		err = yaml_refuse(r->yaml, at, r->e,
				  "program '%.100s' is there, but is not an executable file",
				  run[0]);
	else if (err == -ENOENT || err == -ENOTDIR)
		err = strchr(run[0], '/')
			      ? yaml_refuse(r->yaml, at, r->e,
					    "program '%.200s' does not exist (built it? run make)",
					    run[0])
			      : yaml_refuse(r->yaml, at, r->e,
					    "program '%.100s' is not in %.200sthis file's folder "
					    "or the system's (built it? run make)",
					    run[0], r->given ? r->given : "");
	else if (err)
		err = read_no_memory(r);
	if (err) {
		yaml_strings_free(run);
		return err;
	}
	free(run[0]);
	run[0] = program;
	*ret_run = run;
	return 0;
}

static int read_variable(const struct reading *r, int key_node, int value_node, char **ret_variable)
{
	char *key = NULL, *value = NULL;
	int err;

	err = yaml_string(r->yaml, key_node, "a variable's name", &key, r->e);
	if (!err &&
	    (!*key || isdigit((unsigned char)*key) ||
	     key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")]))
		err = yaml_refuse(r->yaml, key_node, r->e, "env: '%.60s' is no name of a variable",
				  key);
	if (!err && !strncmp(key, "BOP_", 4))
		err = yaml_refuse(r->yaml, key_node, r->e,
				  "env: '%.60s': names that begin with BOP_ are set by bop", key);
	if (!err)
		err = yaml_string(r->yaml, value_node, key, &value, r->e);
	if (!err && asprintf(ret_variable, "%s=%s", key, value) < 0) {
		*ret_variable = NULL;
		err = read_no_memory(r);
	}
	free(key);
	free(value);
	return err;
}

static int read_env(const struct reading *r, int node, char ***ret_env)
{
	size_t n = 0, length;
	int err = 0;

	if (node)
		err = yaml_mapping(r->yaml, node, "env", &n, r->e);
	if (err)
		return err;
	*ret_env = calloc(n + 1, sizeof(**ret_env));
	if (!*ret_env)
		return read_no_memory(r);
	for (size_t i = 0; i < n && !err; i++) {
		int key, value;

		yaml_pair(r->yaml, node, i, &key, &value);
		err = read_variable(r, key, value, &(*ret_env)[i]);
		length = err ? 0 : strchr((*ret_env)[i], '=') - (*ret_env)[i] + 1;
		for (size_t k = 0; !err && k < i; k++)
			if (!strncmp((*ret_env)[k], (*ret_env)[i], length))
				err = yaml_refuse(r->yaml, key, r->e, "env: '%.*s' is given twice",
						  (int)length - 1, (*ret_env)[i]);
	}
	return err;
}

static int read_user(const struct reading *r, int node, char **ret_user)
{
	int err = yaml_string(r->yaml, node, "user", ret_user, r->e);

	if (!err && !r->elsewhere && !getpwnam(*ret_user))
		err = yaml_refuse(r->yaml, node, r->e, "user '%.60s' is not known on this machine",
				  *ret_user);
	return err;
}

static int read_directory(const struct reading *r, int node, char **ret_directory)
{
	char *given = NULL;
	struct stat st;
	int err = yaml_string(r->yaml, node, "dir", &given, r->e);

	if (!err && program_absolute(r->folder, given, ret_directory) < 0)
		err = read_no_memory(r);
	if (!err && !r->elsewhere && (stat(*ret_directory, &st) < 0 || !S_ISDIR(st.st_mode)))
		err = yaml_refuse(
			r->yaml, node, r->e,
			"dir '%.200s' is not a folder (without dir, each process gets a fresh one)",
			*ret_directory);
	free(given);
	return err;
}

static int read_signal(const struct reading *r, int node, int *ret_signal)
{
	char *name = NULL;
	const char *word, *known;
	int err = yaml_string(r->yaml, node, "stop", &name, r->e);

	if (err)
		return err;
	word = !strncasecmp(name, "SIG", 3) ? name + 3 : name;
	*ret_signal = 0;
	for (int signal = 1; signal < 32; signal++) {
		known = sigabbrev_np(signal);
		if (known && !strcasecmp(known, word))
			*ret_signal = signal;
	}
	if (!*ret_signal)
		err = yaml_refuse(r->yaml, node, r->e,
				  "stop must be the name of a signal like SIGTERM, not '%.40s'",
				  name);
	free(name);
	return err;
}

static int read_ready(const struct reading *r, int node, struct experiment_process *process)
{
	int values[READY_COUNT];
	int err = yaml_record(r->yaml, node, "ready", ready_keys, values, r->e);

	if (err)
		return err;
	if (!values[READY_listen] == !values[READY_run])
		return yaml_refuse(r->yaml, node, r->e,
				   "ready must be {listen: PORT} or {run: [program, ...]}");
	if (values[READY_listen])
		return yaml_number(r->yaml, values[READY_listen], "listen", 1, 65535,
				   &process->ready_port, r->e);
	return read_run(r, values[READY_run], &process->ready_run);
}

static bool is_called(const struct experiment_process *process, const char *name, size_t n)
{
	return process->name && strlen(process->name) == n && !memcmp(process->name, name, n);
}

const struct experiment_process *experiment_find(const struct experiment *x, const char *name, size_t n)
{
	for (size_t i = 0; i < x->n_processes; i++)
		if (is_called(&x->processes[i], name, n))
			return &x->processes[i];
	for (size_t i = 0; i < x->n_workloads; i++)
		if (is_called(&x->workloads[i], name, n))
			return &x->workloads[i];
	return NULL;
}

/* Has it what it needs, and nothing that contradicts? */
static int keys_check(const struct reading *r, int node, const char *what, const int *v)
{
	if (v[PROCESS_attach])
		for (int i = 0; i < PROCESS_COUNT; i++)
			if (v[i] && i != PROCESS_name && i != PROCESS_box && i != PROCESS_attach)
				return yaml_refuse(r->yaml, v[i], r->e, "'%s' and 'attach' do not go together: what is attached runs already, "
						   "and is left as it is", process_keys[i]);
	if (v[PROCESS_name] && v[PROCESS_box] && (v[PROCESS_run] || v[PROCESS_attach]))
		return 0;
	return yaml_refuse(r->yaml, node, r->e, "this %s has no '%s'; it needs name, box and run%s", what,
			   !v[PROCESS_name] ? "name" : !v[PROCESS_box] ? "box" : "run",
			   strcmp(what, "process") ? "" : " (or attach)");
}

int read_process(const struct reading *r, int node, bool is_workload,
		 struct experiment_process *process)
{
	const char *what = is_workload ? "workload" : "process";
	int v[PROCESS_COUNT] = { 0 };
	const struct experiment_process *same;
	struct reading in = *r;
	char *name = NULL;
	int err;

	process->line = yaml_line(r->yaml, node);
	process->stop_signal = SIGTERM;
	err = yaml_record(r->yaml, node, what, is_workload ? workload_keys : process_keys, v, r->e);
	if (!err)
		err = keys_check(r, node, what, v);
	if (!err)
		err = read_name(r, v[PROCESS_name], "name", &name);
	if (!err && (same = experiment_find(r->x, name, strlen(name))))
		err = yaml_refuse(r->yaml, v[PROCESS_name], r->e,
				  "name '%s' is already used in line %d", name, same->line);
	if (!err && !strcmp(name, "check"))
		err = yaml_refuse(r->yaml, v[PROCESS_name], r->e,
				  "name 'check' is the check's; choose another");
	process->name = name;
	if (!err)
		err = read_box(r, v[PROCESS_box], &process->box);
	if (!err)
		in = reading_in(r, process->box);
	if (!err && v[PROCESS_attach])
		err = read_attach(r, v[PROCESS_attach], process->box, &process->attach);
	else if (!err)
		err = read_run(&in, v[PROCESS_run], &process->run);
	if (!err)
		err = read_env(r, v[PROCESS_env], &process->env);
	if (!err && v[PROCESS_user])
		err = read_user(&in, v[PROCESS_user], &process->user);
	if (!err && v[PROCESS_dir])
		err = read_directory(&in, v[PROCESS_dir], &process->directory);
	if (!err && v[PROCESS_stop])
		err = read_signal(r, v[PROCESS_stop], &process->stop_signal);
	if (!err && v[PROCESS_ready])
		err = read_ready(&in, v[PROCESS_ready], process);
	return err;
}
