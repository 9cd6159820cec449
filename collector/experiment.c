/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reads an experiment file into struct experiment, see experiment.h and docs/experiment.md. Knows
 * the shape of the file and the rules between its parts; a process is experiment_process.c's,
 * positions and types are yaml.c's.
 *
 * Fails on the first thing that is wrong; nothing is started, made or changed.
 */
#include "collector/experiment.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "collector/experiment_part.h"
#include "collector/program.h"
#include "lib/redact.h"
#include "proto/event.h"

#define MAX_BOXES 200u
#define SECOND_NS 1000000000ull

/* X(key): the keys of the file, of a check, of content. */
#define FILE_KEYS(X)                                                                               \
	X(experiment) X(boxes) X(path) X(processes) X(roles) X(workload) X(check)                  \
	X(timeout) X(ready_timeout) X(grace) X(send) X(content) X(trace)
#define CHECK_KEYS(X) X(run) X(box)
#define CONTENT_KEYS(X) X(bytes) X(redact)
#define BOX_KEYS(X) X(name) X(agent) X(netns) X(container)

#define AS_FILE(key) FILE_##key,
#define AS_CHECK(key) CHECK_##key,
#define AS_CONTENT(key) CONTENT_##key,
#define AS_BOX(key) BOX_##key,
#define AS_WORD(key) #key,
enum { FILE_KEYS(AS_FILE) FILE_COUNT };
enum { CHECK_KEYS(AS_CHECK) CHECK_COUNT };
enum { CONTENT_KEYS(AS_CONTENT) CONTENT_COUNT };
enum { BOX_KEYS(AS_BOX) BOX_COUNT };

static const char *const file_keys[] = { FILE_KEYS(AS_WORD) NULL };
static const char *const check_keys[] = { CHECK_KEYS(AS_WORD) NULL };
static const char *const content_keys[] = { CONTENT_KEYS(AS_WORD) NULL };
static const char *const box_keys[] = { BOX_KEYS(AS_WORD) NULL };

/* A box is a host as well: no '_', no '-' at the end, and a and A are one. */
static int box_check(const struct reading *r, int node, const char *name)
{
	if (strchr(name, '_') || name[strlen(name) - 1] == '-')
		return yaml_refuse(r->yaml, node, r->e,
				   "box '%s': names of boxes are host names: letters, digits and "
				   "'-' between them",
				   name);
	for (char **box = r->x->boxes; *box; box++)
		if (!strcasecmp(*box, name))
			return yaml_refuse(r->yaml, node, r->e, "box '%s' is listed twice", name);
	return 0;
}

/* A name, or {name, agent, netns or container}. */
static int read_one_box(const struct reading *r, int item, size_t i)
{
	int v[BOX_COUNT] = { 0 }, err = 0;
	char *name = NULL;

	if (yaml_is_mapping(r->yaml, item)) {
		err = yaml_record(r->yaml, item, "a box", box_keys, v, r->e);
		if (!err && !v[BOX_name])
			err = yaml_refuse(r->yaml, item, r->e, "this box has no 'name'");
		if (!err && v[BOX_agent])
			err = yaml_string(r->yaml, v[BOX_agent], "agent", &r->x->agents[i], r->e);
		if (!err && v[BOX_agent] && (!*r->x->agents[i] || strlen(r->x->agents[i]) > 64))
			err = yaml_refuse(r->yaml, v[BOX_agent], r->e,
					  "agent must be the name of a host or of a key");
		if (!err && v[BOX_netns] && v[BOX_container])
			err = yaml_refuse(r->yaml, v[BOX_container], r->e, "a box is a 'netns' or a 'container', not both");
		item = v[BOX_name];
	}
	if (!err)
		err = read_name(r, item, "box", &name);
	if (!err)
		err = box_check(r, item, name);
	if (!err && v[BOX_netns])
		err = read_netns(r, v[BOX_netns], name, &r->x->netns[i]);
	if (!err && v[BOX_container])
		err = read_container(r, v[BOX_container], name, &r->x->netns[i]);
	if (err)
		free(name);
	else
		r->x->boxes[i] = name;
	return err;
}

/* Boxes that are made for the run have no way to those that are there. */
static int netns_check(const struct reading *r, int node)
{
	const struct experiment *x = r->x;

	for (size_t i = 1; i < x->n_boxes; i++)
		if (!x->netns[i] != !x->netns[0])
			return yaml_refuse(r->yaml, yaml_item(r->yaml, node, i), r->e,
					   "boxes '%s' and '%s' have no network in common: give each box a netns or a container, or none",
					   x->boxes[0], x->boxes[i]);
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
		return yaml_refuse(r->yaml, node, r->e,
				   "boxes lists %zu boxes; an experiment has 1 to %u", n,
				   MAX_BOXES);
	x->boxes = calloc(n + 1, sizeof(*x->boxes));
	x->agents = calloc(n + 1, sizeof(*x->agents));
	x->netns = calloc(n + 1, sizeof(*x->netns));
	x->n_boxes = n;
	if (!x->boxes || !x->agents || !x->netns)
		return read_no_memory(r);
	for (size_t i = 0; i < n && !err; i++)
		err = read_one_box(r, yaml_item(r->yaml, node, i), i);
	return err ? err : netns_check(r, node);
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
		return yaml_refuse(r->yaml, node, r->e,
				   "folder '%.100s': a colon cannot stand in a search path", given);
	err = program_absolute(r->folder, given, &folder);
	if (!err)
		err = append(&r->x->search_path, folder, ":");
	if (!err)
		err = append(&r->given, given, ", ");
	free(folder);
	return err ? read_no_memory(r) : 0;
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
		err = read_no_memory(r);
	return err;
}

/* What is there already is attached before anything is started: what is wrong with that shows first. */
static void attached_first(struct experiment *x)
{
	struct experiment_process process;
	size_t n = 0;

	for (size_t i = 0; i < x->n_processes; i++) {
		if (!x->processes[i].attach)
			continue;
		process = x->processes[i];
		memmove(&x->processes[n + 1], &x->processes[n], (i - n) * sizeof(process));
		x->processes[n++] = process;
	}
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
		return read_no_memory(r);
	x->n_processes = n;
	for (size_t i = 0; !err && i < n; i++)
		err = read_process(r, yaml_item(r->yaml, node, i), false, &x->processes[i]);
	attached_first(x);
	return err;
}

static int read_workloads(const struct reading *r, int node)
{
	struct experiment *x = r->x;
	bool single = yaml_is_mapping(r->yaml, node);
	int err = 0;
	size_t n = 1;

	if (!single)
		err = yaml_sequence(r->yaml, node, "workload", &n, r->e);
	if (err)
		return yaml_refuse(
			r->yaml, node, r->e,
			"workload must be a mapping {name, box, run}, or a sequence of them");
	if (!n)
		return yaml_refuse(r->yaml, node, r->e, "workload is empty");
	x->workloads = calloc(n, sizeof(*x->workloads));
	if (!x->workloads)
		return read_no_memory(r);
	x->n_workloads = n;
	for (size_t i = 0; !err && i < n; i++)
		err = read_process(r, single ? node : yaml_item(r->yaml, node, i), true,
				   &x->workloads[i]);
	return err;
}

/* Every member is a process of the experiment and has one role at most. */
static int role_check(const struct reading *r, int node, const struct experiment_role *role)
{
	for (size_t m = 0; role->members[m]; m++) {
		int item = yaml_item(r->yaml, node, m);
		const char *member = role->members[m];

		if (!experiment_find(r->x, member, strlen(member)))
			return yaml_refuse(r->yaml, item, r->e,
					   "role '%s': '%.60s' is the name of no process",
					   role->name, member);
		for (const struct experiment_role *other = r->x->roles; other < role; other++)
			if (words_contain(other->members, member))
				return yaml_refuse(r->yaml, item, r->e,
						   "'%s' has two roles, '%s' and '%s'", member,
						   other->name, role->name);
		for (size_t k = 0; k < m; k++)
			if (!strcmp(role->members[k], member))
				return yaml_refuse(r->yaml, item, r->e,
						   "role '%s': '%s' is listed twice", role->name,
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
		return read_no_memory(r);
	for (size_t i = 0; !err && i < n; i++) {
		int key, value;

		yaml_pair(r->yaml, node, i, &key, &value);
		x->n_roles = i + 1;
		err = read_name(r, key, "role", &x->roles[i].name);
		for (size_t k = 0; !err && k < i; k++)
			if (!strcmp(x->roles[k].name, x->roles[i].name))
				err = yaml_refuse(r->yaml, key, r->e, "role '%s' is given twice",
						  x->roles[i].name);
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
	struct reading in;

	if (node)
		err = yaml_record(r->yaml, node, "check", check_keys, v, r->e);
	if (!err && node && !v[CHECK_run])
		err = yaml_refuse(r->yaml, node, r->e, "check needs run: [program, ...]");
	if (!err && v[CHECK_box]) {
		err = read_box(r, v[CHECK_box], &r->x->check_box);
	} else if (!err) {
		r->x->check_box = strdup(r->x->workloads[0].box);
		err = r->x->check_box ? 0 : read_no_memory(r);
	}
	if (err || !v[CHECK_run])
		return err;
	in = reading_in(r, r->x->check_box);
	return read_run(&in, v[CHECK_run], &r->x->check_run);
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
		err = yaml_duration(r->yaml, v[FILE_ready_timeout], "ready_timeout", 1,
				    &x->ready_timeout_ns, r->e);
	if (!err && v[FILE_grace])
		err = yaml_duration(r->yaml, v[FILE_grace], "grace", 0, &x->grace_ns, r->e);
	return err;
}

int experiment_send(const char *word, bool *ret_deferred)
{
	if (strcmp(word, "live") != 0 && strcmp(word, "deferred") != 0)
		return -EINVAL;
	*ret_deferred = *word == 'd';
	return 0;
}

static int read_send(const struct reading *r, int node)
{
	char *word = NULL;
	int err = yaml_string(r->yaml, node, "send", &word, r->e);

	if (!err && experiment_send(word, &r->x->deferred) < 0)
		err = yaml_refuse(r->yaml, node, r->e, "send: '%.60s' is neither live nor deferred", word);
	free(word);
	return err;
}

/* Patterns are tried here, so that a wrong one is refused where it stands; the agent applies them. */
static int read_redact(const struct reading *r, int node)
{
	struct redactor *redactor = NULL;
	struct error why = { "" };
	int err = yaml_strings(r->yaml, node, "redact", &r->x->redact, r->e);

	if (err)
		return err;
	err = redactor_new(r->x->redact, &redactor, &why);
	redactor_free(err ? NULL : redactor);
	if (err == -ENOMEM)
		return read_no_memory(r);
	return err ? yaml_refuse(r->yaml, node, r->e, "redact: %s", why.text) : 0;
}

static int read_content(const struct reading *r, int node)
{
	int v[CONTENT_COUNT], err = yaml_record(r->yaml, node, "content", content_keys, v, r->e);

	if (!err && !v[CONTENT_bytes])
		err = yaml_refuse(r->yaml, node, r->e, "content needs bytes: N, how many of each message are kept");
	if (!err)
		err = yaml_number(r->yaml, v[CONTENT_bytes], "bytes", 1, CONTENT_MAX, &r->x->content_bytes, r->e);
	if (!err && v[CONTENT_redact])
		err = read_redact(r, v[CONTENT_redact]);
	return err;
}

/* TCP is traced in any case: what is known of who is ready comes from there. */
static int read_trace(const struct reading *r, int node)
{
	char **words = NULL;
	int err = yaml_strings(r->yaml, node, "trace", &words, r->e);

	r->x->transports = 1 << TRANSPORT_TCP;
	for (char **word = words; !err && *word; word++) {
		unsigned i = 0;

		while (i < TRANSPORT_COUNT && strcmp(*word, transport_name(i)) != 0)
			i++;
		if (i == TRANSPORT_COUNT)
			err = yaml_refuse(r->yaml, node, r->e, "trace: '%s' is none of tcp, udp, unix, pipe", *word);
		else
			r->x->transports |= 1u << i;
	}
	yaml_strings_free(words);
	return err;
}

static int read_file(struct reading *r)
{
	int v[FILE_COUNT], root = yaml_root(r->yaml), err;

	err = yaml_record(r->yaml, root, "an experiment", file_keys, v, r->e);
	if (!err && (!v[FILE_experiment] || !v[FILE_boxes] || !v[FILE_workload]))
		err = yaml_refuse(
			r->yaml, root, r->e,
			"'%s' is missing; an experiment needs experiment, boxes and workload",
			!v[FILE_experiment] ? "experiment"
			: !v[FILE_boxes]    ? "boxes"
					    : "workload");
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
	if (!err && v[FILE_send])
		err = read_send(r, v[FILE_send]);
	if (!err && v[FILE_content])
		err = read_content(r, v[FILE_content]);
	if (!err && v[FILE_trace])
		err = read_trace(r, v[FILE_trace]);
	return err;
}

/* Reads what r->yaml holds, whose file is x->path. Takes both. */
static int experiment_make(struct reading *r, const char *name, struct experiment **ret_experiment)
{
	int err;

	r->folder = r->x->path ? strdup(r->x->path) : NULL;
	r->x->text = strdup(yaml_text(r->yaml));
	if (!r->folder || !r->x->text)
		err = error_set(r->e, -ENOMEM, "%s: no memory", name);
	else {
		dirname(r->folder);
		err = read_file(r);
	}
	yaml_close(r->yaml);
	free(r->folder);
	free(r->given);
	if (err)
		experiment_free(r->x);
	else
		*ret_experiment = r->x;
	return err;
}

int experiment_read(const char *path, struct experiment **ret_experiment, struct error *e)
{
	struct reading r = { .x = calloc(1, sizeof(*r.x)), .e = e };
	int err;

	if (!r.x)
		return error_set(e, -ENOMEM, "%s: no memory", path);
	err = yaml_open(path, &r.yaml, e);
	if (!err) {
		r.x->path = realpath(path, NULL);
		if (!r.x->path && errno != ENOMEM)
			err = error_set(e, -errno, "%s: %s", path, strerror(errno));
	}
	if (!err)
		return experiment_make(&r, path, ret_experiment);
	yaml_close(r.yaml);
	experiment_free(r.x);
	return err;
}

int experiment_parse(const char *name, const char *path, const char *text, size_t size,
		     struct experiment **ret_experiment, struct error *e)
{
	struct reading r = { .x = calloc(1, sizeof(*r.x)), .e = e, .elsewhere = true };
	int err;

	if (!r.x)
		return error_set(e, -ENOMEM, "%s: no memory", name);
	err = *path == '/' ? 0 : error_set(e, -EINVAL, "%s: the path of an experiment file must be absolute", name);
	if (!err)
		err = strlen(text) == size ? yaml_parse(name, text, &r.yaml, e) :
					     error_set(e, -EINVAL, "%s: a zero byte; this is not a text file", name);
	if (!err) {
		r.x->path = strdup(path);
		return experiment_make(&r, name, ret_experiment);
	}
	experiment_free(r.x);
	return err;
}

static void processes_free(struct experiment_process *processes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(processes[i].name);
		free(processes[i].box);
		attach_free(processes[i].attach);
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
	experiment_roles_free(experiment->roles, experiment->n_roles);
	free(experiment->name);
	free(experiment->path);
	free(experiment->text);
	yaml_strings_free(experiment->boxes);
	for (size_t i = 0; i < experiment->n_boxes; i++) {
		free(experiment->agents ? experiment->agents[i] : NULL);
		free(experiment->netns ? experiment->netns[i] : NULL);
	}
	free(experiment->agents);
	free(experiment->netns);
	free(experiment->search_path);
	free(experiment->check_box);
	yaml_strings_free(experiment->check_run);
	yaml_strings_free(experiment->redact);
	free(experiment);
}
