/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The roles of a run that was kept, see experiment.h. The text comes from a store: it may be damaged. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/experiment.h"
#include "collector/yaml.h"

/* The value of the file's key `roles`, 0: there is none. */
static int roles_find(struct yaml *yaml, int *ret_node, struct error *e)
{
	size_t n = 0;
	int err = yaml_mapping(yaml, yaml_root(yaml), "an experiment", &n, e);

	*ret_node = 0;
	for (size_t i = 0; !err && i < n && !*ret_node; i++) {
		int key, value;
		char *name = NULL;

		yaml_pair(yaml, yaml_root(yaml), i, &key, &value);
		err = yaml_string(yaml, key, "a key", &name, e);
		if (!err && !strcmp(name, "roles"))
			*ret_node = value;
		free(name);
	}
	return err;
}

int experiment_roles_read(const char *path, const char *text, struct experiment_role **ret_roles, size_t *ret_n,
			  struct error *e)
{
	struct experiment_role *roles = NULL;
	struct yaml *yaml = NULL;
	size_t n = 0, n_roles = 0;
	int node = 0, err;

	err = yaml_parse(path, text, &yaml, e);
	if (!err)
		err = roles_find(yaml, &node, e);
	if (!err && node)
		err = yaml_mapping(yaml, node, "roles", &n, e);
	if (!err && n) {
		roles = calloc(n, sizeof(*roles));
		if (!roles)
			err = error_set(e, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; !err && i < n; i++) {
		int key, value;

		yaml_pair(yaml, node, i, &key, &value);
		n_roles = i + 1;
		err = yaml_string(yaml, key, "a role", &roles[i].name, e);
		if (!err)
			err = yaml_strings(yaml, value, "a role", &roles[i].members, e);
	}
	yaml_close(yaml);
	if (err) {
		experiment_roles_free(roles, n_roles);
		return err;
	}
	*ret_roles = roles;
	*ret_n = n_roles;
	return 0;
}

void experiment_roles_free(struct experiment_role *roles, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(roles[i].name);
		yaml_strings_free(roles[i].members);
	}
	free(roles);
}
