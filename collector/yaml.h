/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Typed reading of one YAML file, with positions. The only includer of libyaml. Knows nothing of experiments: callers
 * say which shape they want, and every refusal names file, line and column ("quorum.yaml:4:11: ...").
 *
 * A node is a number > 0, 0 means that there is none. What a file can cost is bounded: size, nesting, anchors, entries
 * of one list, and the bytes that are copied out of it (aliases repeat content).
 */
#ifndef COLLECTOR_YAML_H
#define COLLECTOR_YAML_H

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define YAML_MAX_FILE (1u << 20) /* bytes of a file */
#define YAML_MAX_LIST 1000u	 /* entries of one sequence or mapping */

struct yaml;

/* Reads and parses the file. Returns 0, -EINVAL if it is not one YAML document, or what open() and read() say. */
int yaml_open(const char *path, struct yaml **ret_yaml, struct error *e);
/* The same from a text that was kept; name stands for the path in complaints. */
int yaml_parse(const char *name, const char *text, struct yaml **ret_yaml, struct error *e);
void yaml_close(struct yaml *yaml);

/* The file as it was read, for keeping. Borrowed. */
const char *yaml_text(const struct yaml *yaml);

int yaml_root(const struct yaml *yaml);
int yaml_line(const struct yaml *yaml, int node); /* from 1 */
/* "file:line:column" for what is found wrong later. malloc'ed; -ENOMEM. */
int yaml_place(const struct yaml *yaml, int node, char **ret_place);

/* Is the node a mapping? For keys that take one thing or a sequence of them. */
int yaml_is_mapping(const struct yaml *yaml, int node);

/* Writes "file:line:column: text" into e and returns -EINVAL. */
int yaml_refuse(const struct yaml *yaml, int node, struct error *e, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * A mapping with known keys: ret_values[i] becomes the value of keys[i], or 0. Unknown keys (the nearest known one is
 * named), repeated keys and anything that is no mapping are refused. keys ends with NULL.
 */
int yaml_record(struct yaml *yaml, int node, const char *what, const char *const *keys, int *ret_values,
		struct error *e);

/* A mapping with free keys, and a sequence: how many entries, then each of them. */
int yaml_mapping(struct yaml *yaml, int node, const char *what, size_t *ret_n, struct error *e);
void yaml_pair(const struct yaml *yaml, int node, size_t i, int *ret_key, int *ret_value);
int yaml_sequence(struct yaml *yaml, int node, const char *what, size_t *ret_n, struct error *e);
int yaml_item(const struct yaml *yaml, int node, size_t i);

/* A single value. `what` says what it must be: "box must be " what. Results are malloc'ed. */
int yaml_string(struct yaml *yaml, int node, const char *key, char **ret_string, struct error *e);

/* A sequence of single values, at least one; NULL-terminated. */
int yaml_strings(struct yaml *yaml, int node, const char *key, char ***ret_strings, struct error *e);

/* "500ms", "10s", "2m": from min_ns to a week. */
int yaml_duration(struct yaml *yaml, int node, const char *key, uint64_t min_ns, uint64_t *ret_ns, struct error *e);
int yaml_number(struct yaml *yaml, int node, const char *key, uint32_t min, uint32_t max, uint32_t *ret_number,
		struct error *e);

/* Frees a NULL-terminated array and its strings. NULL is fine. */
void yaml_strings_free(char **strings);

#endif
