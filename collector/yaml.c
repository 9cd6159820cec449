/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Typed reading of one YAML file, see yaml.h. The file is gone through twice: once as a stream of
 * events, which finds what is not one well-formed document and bounds nesting and anchors before
 * anything is built; then into libyaml's document, whose nodes know where they stand in the file.
 *
 * Fails with -EINVAL and a position for everything that the author of the file can mend.
 */
#include "collector/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "lib/nearest.h"
#include "lib/utf8.h"

#define MAX_DEPTH 32u
#define MAX_ANCHORS 1000u
#define MAX_COPIED (8u << 20)
#define WEEK_NS (7ull * 24 * 3600 * 1000000000)

struct yaml {
	char *path; /* as the user wrote it */
	char *text;
	size_t size;
	yaml_document_t document;
	int loaded;    /* document is to be deleted */
	size_t copied; /* bytes handed out so far */
};

static int refuse_at(const struct yaml *yaml, size_t line, size_t column, struct error *e,
		     const char *text)
{
	return error_set(e, -EINVAL, "%s:%zu:%zu: %s", yaml->path, line + 1, column + 1, text);
}

int yaml_refuse(const struct yaml *yaml, int node, struct error *e, const char *format, ...)
{
	const yaml_node_t *at = yaml_document_get_node((yaml_document_t *)&yaml->document, node);
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!at)
		return error_set(e, -EINVAL, "%s: %s", yaml->path, text);
	return refuse_at(yaml, at->start_mark.line, at->start_mark.column, e, text);
}

int yaml_place(const struct yaml *yaml, int node, char **ret_place)
{
	const yaml_node_t *at = yaml_document_get_node((yaml_document_t *)&yaml->document, node);
	size_t line = at ? at->start_mark.line + 1 : 0, column = at ? at->start_mark.column + 1 : 0;

	if (asprintf(ret_place, "%s:%zu:%zu", yaml->path, line, column) >= 0)
		return 0;
	*ret_place = NULL;
	return -ENOMEM;
}

/* libyaml gives no position for bytes that are no text, so look for them first. */
static int text_check(const struct yaml *yaml, struct error *e)
{
	const unsigned char *p = (const unsigned char *)yaml->text;
	size_t line = 0, column = 0, n;

	for (size_t i = 0; i < yaml->size; i += n) {
		n = utf8_length(p + i, yaml->size - i);
		if (!n)
			return refuse_at(yaml, line, column, e, "this is not UTF-8 text");
		if ((p[i] < 0x20 && p[i] != '\t' && p[i] != '\n' && p[i] != '\r') || p[i] == 0x7f)
			return refuse_at(yaml, line, column, e,
					 "a control character; this is not a text file");
		column++;
		if (p[i] == '\n') {
			line++;
			column = 0;
		}
	}
	return 0;
}

static int file_read(struct yaml *yaml, struct error *e)
{
	struct stat st;
	ssize_t n = 0;
	int err = 0, fd;

	fd = open(yaml->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return error_set(e, -errno, "%s: cannot open the experiment file: %s", yaml->path,
				 strerror(errno));
	if (fstat(fd, &st) < 0) {
		err = error_set(e, -errno, "%s: %s", yaml->path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		err = error_set(e, -EINVAL, "%s: this is %s, not an experiment file", yaml->path,
				S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
		goto out;
	}
	yaml->text = malloc(YAML_MAX_FILE + 2);
	if (!yaml->text) {
		err = error_set(e, -ENOMEM, "%s: no memory", yaml->path);
		goto out;
	}
	do {
		n = read(fd, yaml->text + yaml->size, YAML_MAX_FILE + 1 - yaml->size);
		if (n > 0)
			yaml->size += n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		err = error_set(e, -errno, "%s: cannot read it: %s", yaml->path, strerror(errno));
	else if (yaml->size > YAML_MAX_FILE)
		err = error_set(e, -EINVAL, "%s: larger than 1 MiB; this is not an experiment file",
				yaml->path);
	yaml->text[yaml->size] = '\0';
out:
	close(fd);
	return err;
}

/* What libyaml complains about; its positions count from 0. */
static int parser_refuse(const struct yaml *yaml, const yaml_parser_t *parser, struct error *e)
{
	char text[300];

	/* The loader does not always say that it found no memory; anything else has a problem to tell. */
	if (parser->error == YAML_MEMORY_ERROR || !parser->problem)
		return error_set(e, -ENOMEM, "%s: no memory", yaml->path);
	snprintf(text, sizeof(text), "not valid YAML: %s%s%s", parser->problem,
		 parser->context ? " " : "", parser->context ? parser->context : "");
	return refuse_at(yaml, parser->problem_mark.line, parser->problem_mark.column, e, text);
}

struct survey {
	size_t depth, anchors, documents;
};

static int survey_event(const struct yaml *yaml, const yaml_event_t *event, struct survey *survey,
			struct error *e)
{
	const yaml_mark_t at = event->start_mark;
	const yaml_char_t *anchor = NULL;

	if (event->type == YAML_DOCUMENT_START_EVENT && ++survey->documents > 1)
		return refuse_at(yaml, at.line, at.column, e,
				 "a second document begins here; a file holds one experiment");
	if (event->type == YAML_SCALAR_EVENT)
		anchor = event->data.scalar.anchor;
	if (event->type == YAML_SEQUENCE_START_EVENT)
		anchor = event->data.sequence_start.anchor;
	if (event->type == YAML_MAPPING_START_EVENT)
		anchor = event->data.mapping_start.anchor;
	if (anchor && ++survey->anchors > MAX_ANCHORS)
		return refuse_at(yaml, at.line, at.column, e, "too many anchors");
	if (event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT)
		if (++survey->depth > MAX_DEPTH)
			return refuse_at(yaml, at.line, at.column, e, "nested too deeply");
	if (event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT)
		survey->depth--;
	return 0;
}

/* Behind the byte order mark that some editors write. */
static size_t text_start(const struct yaml *yaml)
{
	return strncmp(yaml->text, "\xef\xbb\xbf", 3) ? 0 : 3;
}

static int parser_start(yaml_parser_t *parser, const struct yaml *yaml, struct error *e)
{
	if (!yaml_parser_initialize(parser))
		return error_set(e, -ENOMEM, "%s: no memory", yaml->path);
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(parser, (const unsigned char *)yaml->text + text_start(yaml),
				     yaml->size - text_start(yaml));
	return 0;
}

static int document_survey(const struct yaml *yaml, struct error *e)
{
	struct survey survey = { 0 };
	yaml_parser_t parser;
	yaml_event_t event;
	int err, end = 0;

	err = parser_start(&parser, yaml, e);
	if (err)
		return err;
	while (!err && !end) {
		if (!yaml_parser_parse(&parser, &event)) {
			err = parser_refuse(yaml, &parser, e);
			break;
		}
		end = event.type == YAML_STREAM_END_EVENT;
		err = survey_event(yaml, &event, &survey, e);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return err;
}

static int document_load(struct yaml *yaml, struct error *e)
{
	yaml_parser_t parser;
	int err;

	err = parser_start(&parser, yaml, e);
	if (err)
		return err;
	if (yaml_parser_load(&parser, &yaml->document))
		yaml->loaded = 1;
	else
		err = parser_refuse(yaml, &parser, e);
	yaml_parser_delete(&parser);
	if (!err && !yaml_document_get_root_node(&yaml->document))
		err = error_set(e, -EINVAL,
				"%s: the file is empty; an experiment needs boxes and a workload",
				yaml->path);
	return err;
}

static int text_copy(struct yaml *yaml, const char *text, struct error *e)
{
	yaml->size = strlen(text);
	if (yaml->size > YAML_MAX_FILE)
		return error_set(e, -EINVAL, "%s: larger than 1 MiB; this is not an experiment file", yaml->path);
	yaml->text = strdup(text);
	return yaml->text ? 0 : error_set(e, -ENOMEM, "%s: no memory", yaml->path);
}

/* text NULL: what is in the file. */
static int open_or_parse(const char *path, const char *text, struct yaml **ret_yaml, struct error *e)
{
	struct yaml *yaml = calloc(1, sizeof(*yaml));
	int err = 0;

	if (!yaml)
		return error_set(e, -ENOMEM, "%s: no memory", path);
	yaml->path = strdup(path);
	if (!yaml->path)
		err = error_set(e, -ENOMEM, "%s: no memory", path);
	if (!err)
		err = text ? text_copy(yaml, text, e) : file_read(yaml, e);
	if (!err)
		err = text_check(yaml, e);
	if (!err)
		err = document_survey(yaml, e);
	if (!err)
		err = document_load(yaml, e);
	if (err)
		yaml_close(yaml);
	else
		*ret_yaml = yaml;
	return err;
}

int yaml_open(const char *path, struct yaml **ret_yaml, struct error *e)
{
	return open_or_parse(path, NULL, ret_yaml, e);
}

int yaml_parse(const char *name, const char *text, struct yaml **ret_yaml, struct error *e)
{
	return open_or_parse(name, text, ret_yaml, e);
}

void yaml_close(struct yaml *yaml)
{
	if (!yaml)
		return;
	if (yaml->loaded)
		yaml_document_delete(&yaml->document);
	free(yaml->text);
	free(yaml->path);
	free(yaml);
}

const char *yaml_text(const struct yaml *yaml)
{
	return yaml->text;
}

static yaml_node_t *node_get(const struct yaml *yaml, int node)
{
	return yaml_document_get_node((yaml_document_t *)&yaml->document, node);
}

int yaml_root(const struct yaml *yaml)
{
	return yaml_document_get_root_node((yaml_document_t *)&yaml->document) ? 1 : 0;
}

int yaml_line(const struct yaml *yaml, int node)
{
	const yaml_node_t *at = node_get(yaml, node);

	return at ? (int)at->start_mark.line + 1 : 0;
}

int yaml_is_mapping(const struct yaml *yaml, int node)
{
	const yaml_node_t *at = node_get(yaml, node);

	return at && at->type == YAML_MAPPING_NODE;
}

static int key_refuse(const struct yaml *yaml, int node, const char *what, const char *key,
		      const char *const *keys, struct error *e)
{
	const char *nearest = NULL;
	unsigned best = strlen(key) < 4 ? 2 : 3;
	char list[200] = "";

	for (const char *const *k = keys; *k; k++) {
		size_t used = strlen(list);
		unsigned distance = nearest_distance(key, strlen(key), *k, strlen(*k), best);

		if (distance < best) {
			best = distance;
			nearest = *k;
		}
		snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", *k);
	}
	if (nearest)
		return yaml_refuse(yaml, node, e, "unknown key '%.60s' in %s; did you mean '%s'?",
				   key, what, nearest);
	return yaml_refuse(yaml, node, e, "unknown key '%.60s' in %s; known are %s", key, what,
			   list);
}

int yaml_record(struct yaml *yaml, int node, const char *what, const char *const *keys,
		int *ret_values, struct error *e)
{
	size_t n = 0, known;
	int err;

	for (size_t k = 0; keys[k]; k++)
		ret_values[k] = 0;
	err = yaml_mapping(yaml, node, what, &n, e);
	for (size_t i = 0; !err && i < n; i++) {
		int key_node, value;
		const yaml_node_t *key;

		yaml_pair(yaml, node, i, &key_node, &value);
		key = node_get(yaml, key_node);
		if (key->type != YAML_SCALAR_NODE)
			return yaml_refuse(yaml, key_node, e, "a key of %s must be a word", what);
		for (known = 0; keys[known] && strcmp(keys[known], (char *)key->data.scalar.value);
		     known++)
			;
		if (!keys[known])
			err = key_refuse(yaml, key_node, what, (char *)key->data.scalar.value, keys,
					 e);
		else if (ret_values[known])
			err = yaml_refuse(yaml, key_node, e,
					  "'%s' is given twice, first in line %d", keys[known],
					  yaml_line(yaml, ret_values[known]));
		else
			ret_values[known] = value;
	}
	return err;
}

int yaml_mapping(struct yaml *yaml, int node, const char *what, size_t *ret_n, struct error *e)
{
	const yaml_node_t *at = node_get(yaml, node);
	size_t n;

	if (!at || at->type != YAML_MAPPING_NODE)
		return yaml_refuse(yaml, node, e, "%s must be a mapping (key: value)", what);
	n = at->data.mapping.pairs.top - at->data.mapping.pairs.start;
	if (n > YAML_MAX_LIST)
		return yaml_refuse(yaml, node, e, "%s has %zu entries, more than %u", what, n,
				   YAML_MAX_LIST);
	*ret_n = n;
	return 0;
}

void yaml_pair(const struct yaml *yaml, int node, size_t i, int *ret_key, int *ret_value)
{
	const yaml_node_pair_t *pair = node_get(yaml, node)->data.mapping.pairs.start + i;

	*ret_key = pair->key;
	*ret_value = pair->value;
}

int yaml_sequence(struct yaml *yaml, int node, const char *what, size_t *ret_n, struct error *e)
{
	const yaml_node_t *at = node_get(yaml, node);
	size_t n;

	if (!at || at->type != YAML_SEQUENCE_NODE)
		return yaml_refuse(yaml, node, e, "%s must be a sequence, like [a, b]", what);
	n = at->data.sequence.items.top - at->data.sequence.items.start;
	if (n > YAML_MAX_LIST)
		return yaml_refuse(yaml, node, e, "%s has %zu entries, more than %u", what, n,
				   YAML_MAX_LIST);
	*ret_n = n;
	return 0;
}

int yaml_item(const struct yaml *yaml, int node, size_t i)
{
	return node_get(yaml, node)->data.sequence.items.start[i];
}

int yaml_string(struct yaml *yaml, int node, const char *key, char **ret_string, struct error *e)
{
	const yaml_node_t *at = node_get(yaml, node);
	char *copy;

	if (!at || at->type != YAML_SCALAR_NODE)
		return yaml_refuse(yaml, node, e, "%s must be a single value, not a %s", key,
				   at && at->type == YAML_MAPPING_NODE ? "mapping" : "sequence");
	if (!at->data.scalar.length && at->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return yaml_refuse(yaml, node, e, "%s has no value (an empty text is written \"\")",
				   key);
	if (memchr(at->data.scalar.value, '\0', at->data.scalar.length))
		return yaml_refuse(yaml, node, e, "%s contains a NUL character", key);
	yaml->copied += at->data.scalar.length + 64;
	if (yaml->copied > MAX_COPIED)
		return yaml_refuse(yaml, node, e,
				   "the file says too much, or repeats too much by aliases");
	copy = strdup((char *)at->data.scalar.value);
	if (!copy)
		return error_set(e, -ENOMEM, "%s: no memory", yaml->path);
	*ret_string = copy;
	return 0;
}

int yaml_strings(struct yaml *yaml, int node, const char *key, char ***ret_strings, struct error *e)
{
	char **strings = NULL;
	size_t n = 0;
	int err;

	err = yaml_sequence(yaml, node, key, &n, e);
	if (err)
		return err;
	if (!n)
		return yaml_refuse(yaml, node, e, "%s is empty", key);
	strings = calloc(n + 1, sizeof(*strings));
	if (!strings)
		return error_set(e, -ENOMEM, "%s: no memory", yaml->path);
	for (size_t i = 0; !err && i < n; i++)
		err = yaml_string(yaml, yaml_item(yaml, node, i), key, &strings[i], e);
	if (err)
		yaml_strings_free(strings);
	else
		*ret_strings = strings;
	return err;
}

void yaml_strings_free(char **strings)
{
	for (char **s = strings; s && *s; s++)
		free(*s);
	free(strings);
}

int yaml_duration(struct yaml *yaml, int node, const char *key, uint64_t min_ns, uint64_t *ret_ns,
		  struct error *e)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {
		{ "ms", 1000000 }, { "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 }
	};
	const yaml_node_t *at = node_get(yaml, node);
	const char *text = at && at->type == YAML_SCALAR_NODE ? (char *)at->data.scalar.value : "";
	size_t digits = strspn(text, "0123456789"), i;
	uint64_t value;

	for (i = 0; i < 4 && strcmp(text + digits, units[i].unit); i++)
		;
	if (!digits || digits > 9 || i == 4)
		return yaml_refuse(yaml, node, e, "%s must be a duration like 10s, 500ms or 2m",
				   key);
	value = strtoull(text, NULL, 10) * units[i].ns;
	if (value < min_ns || value > WEEK_NS)
		return yaml_refuse(yaml, node, e,
				   "%s is %s; it must be %s and not more than a week", key, text,
				   min_ns ? "more than nothing" : "a duration");
	*ret_ns = value;
	return 0;
}

int yaml_number(struct yaml *yaml, int node, const char *key, uint32_t min, uint32_t max,
		uint32_t *ret_number, struct error *e)
{
	const yaml_node_t *at = node_get(yaml, node);
	const char *text = at && at->type == YAML_SCALAR_NODE ? (char *)at->data.scalar.value : "";
	size_t digits = strspn(text, "0123456789");
	uint64_t value =
		digits && digits < 10 && !text[digits] ? strtoull(text, NULL, 10) : UINT64_MAX;

	if (value < min || value > max)
		return yaml_refuse(yaml, node, e, "%s must be a number from %u to %u", key, min,
				   max);
	*ret_number = value;
	return 0;
}
