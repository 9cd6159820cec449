/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Faults in requests and answers, for api_encode.c and api_decode.c. What is made here for encoding borrows, and is
 * freed as one piece.
 */
#ifndef PROTO_API_FAULTS_H
#define PROTO_API_FAULTS_H

#include "proto/api.h"

/* NULL without memory. */
Bop__Api__FaultLine **api_lines_rows(const struct api_plan *plan);
Bop__Api__Fault **api_faults_rows(const struct api_faults *faults);

/* -EBADMSG, -ENOMEM; what is filled belongs to the caller in any case. */
int api_lines_take(Bop__Api__FaultLine **rows, size_t n, struct api_plan *plan);
int api_faults_take(const Bop__Api__Faults *from, struct api_faults *faults);
int api_injected_take(const Bop__Api__Injected *from, struct api_injected *injected);

void api_plan_fini(struct api_plan *plan);
void api_faults_fini(struct api_faults *faults);

#endif
