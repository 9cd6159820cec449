/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reads an experiment file into struct experiment, see experiment.h and docs/experiment.md. Knows the shape of the file
 * and the rules between its parts; positions and types are yaml.c's, programs program.c's.
 *
 * Fails on the first thing that is wrong; nothing is started, made or changed.
 */
#include "collector/experiment.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "collector/program.h"
#include "collector/yaml.h"

#define MAX_BOXES 200u
#define MAX_NAME 32u
#define SECOND_NS 1000000000ull

/* X(key): the keys of the file, of a process, of a workload, of a check, of `ready`. */
#define FILE_KEYS(X)                                                                                \
	X(experiment) X(boxes) X(path) X(processes) X(roles) X(workload) X(check) X(timeout)        \
	X(ready_timeout) X(grace)
#define PROCESS_KEYS(X) X(name) X(box) X(run) X(user) X(env) X(dir) X(stop) X(ready)
#define WORKLOAD_KEYS(X) X(name) X(box) X(run) X(user) X(env) X(dir)
#define CHECK_KEYS(X) X(run) X(box)
#define READY_KEYS(X) X(listen) X(run)

#define AS_FILE(key) FILE_##key,
#define AS_PROCESS(key) PROCESS_##key,
#define AS_CHECK(key) CHECK_##key,
#define AS_READY(key) READY_##key,
#define AS_WORD(key) #key,
enum { FILE_KEYS(AS_FILE) FILE_COUNT };
enum { PROCESS_KEYS(AS_PROCESS) PROCESS_COUNT };
enum { CHECK_KEYS(AS_CHECK) CHECK_COUNT };
enum { READY_KEYS(AS_READY) READY_COUNT };

static const char *const file_keys[] = { FILE_KEYS(AS_WORD) NULL };
static const char *const process_keys[] = { PROCESS_KEYS(AS_WORD) NULL };
static const char *const workload_keys[] = { WORKLOAD_KEYS(AS_WORD) NULL }; /* the first of process_keys */
static const char *const check_keys[] = { CHECK_KEYS(AS_WORD) NULL };
static const char *const ready_keys[] = { READY_KEYS(AS_WORD) NULL };

/* What every part of the reading needs. */
struct reading {
	struct yaml *yaml;
	struct experiment *x;
	char *folder; /* of the file, absolute */
	char *given;  /* what `path` says, for complaints: "a, b, " */
	struct error *e;
};

static int no_memory(const struct reading *r)
{
	return error_set(r->e, -ENOMEM, "%s: no memory", r->x->path);
}

/* Names end up in labels, whose own signs are . > < : # / and ' */
static int name_check(const struct reading *r, int node, const char *what, const char *name)
{
	struct in_addr address;
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && (i == 0 || (name[i] != '_' && name[i] != '-')))
			return yaml_refuse(r->yaml, node, r->e,
					   "%s '%.60s': names are letters, digits, _ and -, and begin with a letter or digit",
					   what, name);
	if (n < 1 || n > MAX_NAME)
		return yaml_refuse(r->yaml, node, r->e, "%s '%.60s': names have 1 to %u characters", what, name, MAX_NAME);
	if (inet_aton(name, &address) || !strcasecmp(name, "localhost"))
		return yaml_refuse(r->yaml, node, r->e, "%s '%s' would be taken for an address; choose another", what, name);
	return 0;
}

static int read_name(const struct reading *r, int node, const char *what, char **ret_name)
{
	int err = yaml_string(r->yaml, node, what, ret_name, r->e);

	return err ? err : name_check(r, node, what, *ret_name);
}

/* A box is a host as well: no '_', no '-' at the end, and a and A are one. */
static int box_check(const struct reading *r, int node, const char *name)
{
	if (strchr(name, '_') || name[strlen(name) - 1] == '-')
		return yaml_refuse(r->yaml, node, r->e,
				   "box '%s': names of boxes are host names: letters, digits and '-' between them", name);
	for (char **box = r->x->boxes; *box; box++)
		if (!strcasecmp(*box, name))
			return yaml_refuse(r->yaml, node, r->e, "box '%s' is listed twice", name);
	return 0;
}

static int list_contains(char **list, const char *word)
{
	for (; list && *list; list++)
		if (!strcmp(*list, word))
			return 1;
	return 0;
}

static int read_boxes(const struct reading *r, int node)
{
	struct experiment *x = r->x;
	size_t n = 0;
	int err;

	err = yaml_sequence(r->yaml, node, "boxes", &n, r->e);
	if (err)
		return err;
	if (!n || n > MAX_BOXES)
		return yaml_refuse(r->yaml, node, r->e, "boxes lists %zu boxes; an experiment has 1 to %u", n, MAX_BOXES);
	x->boxes = calloc(n + 1, sizeof(*x->boxes));
	if (!x->boxes)
		return no_memory(r);
	for (size_t i = 0; i < n; i++) {
		int item = yaml_item(r->yaml, node, i);
		char *name = NULL;

		err = read_name(r, item, "box", &name);
		if (!err)
			err = box_check(r, item, name);
		if (err) {
			free(name);
			return err;
		}
		x->boxes[i] = name;
	}
	return 0;
}

static int read_box(const struct reading *r, int node, char **ret_box)
{
	char list[200] = "";
	int err = yaml_string(r->yaml, node, "box", ret_box, r->e);

	if (err || list_contains(r->x->boxes, *ret_box))
		return err;
	for (char **box = r->x->boxes; *box; box++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", *box);
	}
	return yaml_refuse(r->yaml, node, r->e, "box '%.60s' is not in boxes: %s", *ret_box, list);
}

/* Appends text and separator to *string, which may be NULL. */
static int append(char **string, const char *text, const char *separator)
{
	char *longer = NULL;

	if (asprintf(&longer, "%s%s%s", *string ? *string : "", text, separator) < 0)
		return -ENOMEM;
	free(*string);
	*string = longer;
	return 0;
}

static int read_folder(struct reading *r, int node, const char *given)
{
	char *folder = NULL;
	int err;

	if (strchr(given, ':'))
		return yaml_refuse(r->yaml, node, r->e, "folder '%.100s': a colon cannot stand in a search path", given);
	err = program_absolute(r->folder, given, &folder);
	if (!err)
		err = append(&r->x->search_path, folder, ":");
	if (!err)
		err = append(&r->given, given, ", ");
	free(folder);
	return err ? no_memory(r) : 0;
}

static int read_path(struct reading *r, int node)
{
	char **folders = NULL;
	int err = 0;

	if (node)
		err = yaml_strings(r->yaml, node, "path", &folders, r->e);
	for (size_t i = 0; !err && folders && folders[i]; i++)
		err = read_folder(r, yaml_item(r->yaml, node, i), folders[i]);
	yaml_strings_free(folders);
	if (!err && (append(&r->x->search_path, r->folder, ":") < 0 ||
		     append(&r->x->search_path, PROGRAM_SYSTEM_PATH, "") < 0))
		err = no_memory(r);
	return err;
}

static int read_run(const struct reading *r, int node, char ***ret_run)
{
	char **run = NULL, *program = NULL;
	int err, at;

	err = yaml_strings(r->yaml, node, "run", &run, r->e);
	if (err)
		return err;
	at = yaml_item(r->yaml, node, 0);
	err = program_find(run[0], r->x->search_path, r->folder, &program);
	if (err == -EACCES)
		err = yaml_refuse(r->yaml, at, r->e, "program '%.100s' is there, but is not an executable file", run[0]);
	else if (err == -ENOENT || err == -ENOTDIR)
		err = strchr(run[0], '/') ?
			      yaml_refuse(r->yaml, at, r->e, "program '%.200s' does not exist (built it? run make)", run[0]) :
			      yaml_refuse(r->yaml, at, r->e,
					  "program '%.100s' is not in %.200sthis file's folder or the system's (built it? run make)",
					  run[0], r->given ? r->given : "");
	else if (err)
		err = error_set(r->e, err, "%s: program '%.100s': %s", r->x->path, run[0], strerror(-err));
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
	if (!err && (!*key || isdigit((unsigned char)*key) ||
		     key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")]))
		err = yaml_refuse(r->yaml, key_node, r->e, "env: '%.60s' is no name of a variable", key);
	if (!err && !strncmp(key, "BOP_", 4))
		err = yaml_refuse(r->yaml, key_node, r->e, "env: '%.60s': names that begin with BOP_ are set by bop", key);
	if (!err)
		err = yaml_string(r->yaml, value_node, key, &value, r->e);
	if (!err && asprintf(ret_variable, "%s=%s", key, value) < 0) {
		*ret_variable = NULL;
		err = no_memory(r);
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
		return no_memory(r);
	for (size_t i = 0; i < n && !err; i++) {
		int key, value;

		yaml_pair(r->yaml, node, i, &key, &value);
		err = read_variable(r, key, value, &(*ret_env)[i]);
		length = err ? 0 : strchr((*ret_env)[i], '=') - (*ret_env)[i] + 1;
		for (size_t k = 0; !err && k < i; k++)
			if (!strncmp((*ret_env)[k], (*ret_env)[i], length))
				err = yaml_refuse(r->yaml, key, r->e, "env: '%.*s' is given twice", (int)length - 1,
						  (*ret_env)[i]);
	}
	return err;
}

static int read_user(const struct reading *r, int node, char **ret_user)
{
	int err = yaml_string(r->yaml, node, "user", ret_user, r->e);

	if (!err && !getpwnam(*ret_user))
		err = yaml_refuse(r->yaml, node, r->e, "user '%.60s' is not known on this machine", *ret_user);
	return err;
}

static int read_directory(const struct reading *r, int node, char **ret_directory)
{
	char *given = NULL;
	struct stat st;
	int err = yaml_string(r->yaml, node, "dir", &given, r->e);

	if (!err && program_absolute(r->folder, given, ret_directory) < 0)
		err = no_memory(r);
	if (!err && (stat(*ret_directory, &st) < 0 || !S_ISDIR(st.st_mode)))
		err = yaml_refuse(r->yaml, node, r->e,
				  "dir '%.200s' is not a folder (without dir, each process gets a fresh one)", *ret_directory);
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
		err = yaml_refuse(r->yaml, node, r->e, "stop must be the name of a signal like SIGTERM, not '%.40s'", name);
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
		return yaml_refuse(r->yaml, node, r->e, "ready must be {listen: PORT} or {run: [program, ...]}");
	if (values[READY_listen])
		return yaml_number(r->yaml, values[READY_listen], "listen", 1, 65535, &process->ready_port, r->e);
	return read_run(r, values[READY_run], &process->ready_run);
}

static const struct experiment_process *process_find(const struct experiment *x, const char *name)
{
	for (size_t i = 0; i < x->n_processes; i++)
		if (x->processes[i].name && !strcmp(x->processes[i].name, name))
			return &x->processes[i];
	for (size_t i = 0; i < x->n_workloads; i++)
		if (x->workloads[i].name && !strcmp(x->workloads[i].name, name))
			return &x->workloads[i];
	return NULL;
}

/* A process, or (is_workload) a workload, which neither waits to be ready nor is told to stop. */
static int read_process(const struct reading *r, int node, int is_workload, struct experiment_process *process)
{
	const char *what = is_workload ? "workload" : "process";
	int v[PROCESS_COUNT] = { 0 };
	char *name = NULL;
	int err;

	process->line = yaml_line(r->yaml, node);
	process->stop_signal = SIGTERM;
	err = yaml_record(r->yaml, node, what, is_workload ? workload_keys : process_keys, v, r->e);
	if (!err && (!v[PROCESS_name] || !v[PROCESS_box] || !v[PROCESS_run]))
		err = yaml_refuse(r->yaml, node, r->e, "this %s has no '%s'; it needs name, box and run", what,
				  !v[PROCESS_name] ? "name" : !v[PROCESS_box] ? "box" : "run");
	if (!err)
		err = read_name(r, v[PROCESS_name], "name", &name);
	if (!err && process_find(r->x, name))
		err = yaml_refuse(r->yaml, v[PROCESS_name], r->e, "name '%s' is already used in line %d", name,
				  process_find(r->x, name)->line);
	process->name = name;
	if (!err)
		err = read_box(r, v[PROCESS_box], &process->box);
	if (!err)
		err = read_run(r, v[PROCESS_run], &process->run);
	if (!err)
		err = read_env(r, v[PROCESS_env], &process->env);
	if (!err && v[PROCESS_user])
		err = read_user(r, v[PROCESS_user], &process->user);
	if (!err && v[PROCESS_dir])
		err = read_directory(r, v[PROCESS_dir], &process->directory);
	if (!err && v[PROCESS_stop])
		err = read_signal(r, v[PROCESS_stop], &process->stop_signal);
	if (!err && v[PROCESS_ready])
		err = read_ready(r, v[PROCESS_ready], process);
	return err;
}

static int read_processes(const struct reading *r, int node)
{
	struct experiment *x = r->x;
	size_t n = 0;
	int err = yaml_sequence(r->yaml, node, "processes", &n, r->e);

	if (err || !n)
		return err;
	x->processes = calloc(n, sizeof(*x->processes));
	if (!x->processes)
		return no_memory(r);
	x->n_processes = n;
	for (size_t i = 0; !err && i < n; i++)
		err = read_process(r, yaml_item(r->yaml, node, i), 0, &x->processes[i]);
	return err;
}

static int read_workloads(const struct reading *r, int node)
{
	struct experiment *x = r->x;
	int single = yaml_is_mapping(r->yaml, node), err = 0;
	size_t n = 1;

	if (!single)
		err = yaml_sequence(r->yaml, node, "workload", &n, r->e);
	if (err)
		return yaml_refuse(r->yaml, node, r->e, "workload must be a mapping {name, box, run}, or a sequence of them");
	if (!n)
		return yaml_refuse(r->yaml, node, r->e, "workload is empty");
	x->workloads = calloc(n, sizeof(*x->workloads));
	if (!x->workloads)
		return no_memory(r);
	x->n_workloads = n;
	for (size_t i = 0; !err && i < n; i++)
		err = read_process(r, single ? node : yaml_item(r->yaml, node, i), 1, &x->workloads[i]);
	return err;
}

/* Every member is a process of the experiment and has one role at most. */
static int role_check(const struct reading *r, int node, const struct experiment_role *role)
{
	for (size_t m = 0; role->members[m]; m++) {
		int item = yaml_item(r->yaml, node, m);
		const char *member = role->members[m];

		if (!process_find(r->x, member))
			return yaml_refuse(r->yaml, item, r->e, "role '%s': '%.60s' is the name of no process", role->name,
					   member);
		for (const struct experiment_role *other = r->x->roles; other < role; other++)
			if (list_contains(other->members, member))
				return yaml_refuse(r->yaml, item, r->e, "'%s' has two roles, '%s' and '%s'", member,
						   other->name, role->name);
		for (size_t k = 0; k < m; k++)
			if (!strcmp(role->members[k], member))
				return yaml_refuse(r->yaml, item, r->e, "role '%s': '%s' is listed twice", role->name,
						   member);
	}
	return 0;
}

static int read_roles(const struct reading *r, int node)
{
	struct experiment *x = r->x;
	size_t n = 0;
	int err = yaml_mapping(r->yaml, node, "roles", &n, r->e);

	if (err || !n)
		return err;
	x->roles = calloc(n, sizeof(*x->roles));
	if (!x->roles)
		return no_memory(r);
	for (size_t i = 0; !err && i < n; i++) {
		int key, value;

		yaml_pair(r->yaml, node, i, &key, &value);
		x->n_roles = i + 1;
		err = read_name(r, key, "role", &x->roles[i].name);
		for (size_t k = 0; !err && k < i; k++)
			if (!strcmp(x->roles[k].name, x->roles[i].name))
				err = yaml_refuse(r->yaml, key, r->e, "role '%s' is given twice", x->roles[i].name);
		if (!err)
			err = yaml_strings(r->yaml, value, "a role", &x->roles[i].members, r->e);
		if (!err)
			err = role_check(r, value, &x->roles[i]);
	}
	return err;
}

static int read_check(const struct reading *r, int node)
{
	int v[CHECK_COUNT] = { 0 }, err = 0;

	if (node)
		err = yaml_record(r->yaml, node, "check", check_keys, v, r->e);
	if (!err && node && !v[CHECK_run])
		err = yaml_refuse(r->yaml, node, r->e, "check needs run: [program, ...]");
	if (!err && v[CHECK_run])
		err = read_run(r, v[CHECK_run], &r->x->check_run);
	if (!err && v[CHECK_box])
		return read_box(r, v[CHECK_box], &r->x->check_box);
	if (!err) {
		r->x->check_box = strdup(r->x->workloads[0].box);
		err = r->x->check_box ? 0 : no_memory(r);
	}
	return err;
}

static int read_times(const struct reading *r, const int *v)
{
	struct experiment *x = r->x;
	int err = 0;

	x->timeout_ns = 60 * SECOND_NS;
	x->ready_timeout_ns = 10 * SECOND_NS;
	x->grace_ns = 2 * SECOND_NS;
	if (v[FILE_timeout])
		err = yaml_duration(r->yaml, v[FILE_timeout], "timeout", 1, &x->timeout_ns, r->e);
	if (!err && v[FILE_ready_timeout])
		err = yaml_duration(r->yaml, v[FILE_ready_timeout], "ready_timeout", 1, &x->ready_timeout_ns, r->e);
	if (!err && v[FILE_grace])
		err = yaml_duration(r->yaml, v[FILE_grace], "grace", 0, &x->grace_ns, r->e);
	return err;
}

static int read_file(struct reading *r)
{
	int v[FILE_COUNT], root = yaml_root(r->yaml), err;

	err = yaml_record(r->yaml, root, "an experiment", file_keys, v, r->e);
	if (!err && (!v[FILE_experiment] || !v[FILE_boxes] || !v[FILE_workload]))
		err = yaml_refuse(r->yaml, root, r->e, "'%s' is missing; an experiment needs experiment, boxes and workload",
				  !v[FILE_experiment] ? "experiment" : !v[FILE_boxes] ? "boxes" : "workload");
	if (!err)
		err = read_name(r, v[FILE_experiment], "experiment", &r->x->name);
	if (!err)
		err = read_boxes(r, v[FILE_boxes]);
	if (!err)
		err = read_path(r, v[FILE_path]);
	if (!err && v[FILE_processes])
		err = read_processes(r, v[FILE_processes]);
	if (!err)
		err = read_workloads(r, v[FILE_workload]);
	if (!err && v[FILE_roles])
		err = read_roles(r, v[FILE_roles]);
	if (!err)
		err = read_check(r, v[FILE_check]);
	if (!err)
		err = read_times(r, v);
	return err;
}

int experiment_read(const char *path, struct experiment **ret_experiment, struct error *e)
{
	struct reading r = { .x = calloc(1, sizeof(*r.x)), .e = e };
	int err;

	if (!r.x)
		return error_set(e, -ENOMEM, "%s: no memory", path);
	err = yaml_open(path, &r.yaml, e);
	if (err)
		goto out;
	r.x->path = realpath(path, NULL);
	r.folder = r.x->path ? strdup(r.x->path) : NULL;
	r.x->text = strdup(yaml_text(r.yaml));
	if (!r.folder || !r.x->text) {
		err = error_set(e, -ENOMEM, "%s: cannot be resolved", path);
		goto out;
	}
	dirname(r.folder);
	err = read_file(&r);
out:
	yaml_close(r.yaml);
	free(r.folder);
	free(r.given);
	if (err)
		experiment_free(r.x);
	else
		*ret_experiment = r.x;
	return err;
}

static void processes_free(struct experiment_process *processes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(processes[i].name);
		free(processes[i].box);
		yaml_strings_free(processes[i].run);
		free(processes[i].user);
		free(processes[i].directory);
		yaml_strings_free(processes[i].env);
		yaml_strings_free(processes[i].ready_run);
	}
	free(processes);
}

void experiment_free(struct experiment *experiment)
{
	if (!experiment)
		return;
	processes_free(experiment->processes, experiment->n_processes);
	processes_free(experiment->workloads, experiment->n_workloads);
	for (size_t i = 0; i < experiment->n_roles; i++) {
		free(experiment->roles[i].name);
		yaml_strings_free(experiment->roles[i].members);
	}
	free(experiment->roles);
	free(experiment->name);
	free(experiment->path);
	free(experiment->text);
	yaml_strings_free(experiment->boxes);
	free(experiment->search_path);
	free(experiment->check_box);
	yaml_strings_free(experiment->check_run);
	free(experiment);
}
