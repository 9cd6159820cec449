/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See label.h. */
#include "tfj/label.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/fault.h"

#define ROOT_MAX 512u

/* Where the last ".k" of the first n characters begins; n: there is none. */
static size_t child_at(const char *label, size_t n)
{
	size_t at = n;

	while (at > 0 && isdigit((unsigned char)label[at - 1]))
		at--;
	return at < n && n - at < 10 && at > 1 && label[at - 1] == '.' ? at - 1 : n;
}

uint64_t label_number(const char *label)
{
	size_t n = strlen(label), at;
	char root[ROOT_MAX + 1];
	uint64_t number;

	while ((at = child_at(label, n)) < n)
		n = at;
	memcpy(root, label, n < ROOT_MAX ? n : ROOT_MAX);
	root[n < ROOT_MAX ? n : ROOT_MAX] = '\0';
	number = fault_label(root);
	for (; label[n]; n += 1 + strspn(label + n + 1, "0123456789"))
		number = fault_label_child(number, (uint32_t)strtoul(label + n + 1, NULL, 10));
	return number;
}

bool label_is_below(const char *label, const char *root)
{
	size_t n = strlen(root);

	return !strncmp(label, root, n) && (!label[n] || label[n] == '.');
}
