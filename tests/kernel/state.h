/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef TESTS_KERNEL_STATE_H
#define TESTS_KERNEL_STATE_H

#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* What a process does, as a letter of proc(5); '-': it is gone. */
static inline char process_state(pid_t pid)
{
	char path[32], text[256] = "", *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return '-';
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : '-';
}

#endif
