/* SPDX-License-Identifier: BSD-2-Clause */
/* companion.h - making and entering the VM that runs the firmware: in this process or in a stub domain's. */
#ifndef VMM_COMPANION_H
#define VMM_COMPANION_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

struct leave;

/* Descriptors, or -1 with a message. */
int companion_vm(int kvm);
int companion_vcpu(int kvm, int vm, unsigned id, size_t run_size, struct kvm_run **run);
/* Registers of the entry point (include/sio/abi.h). */
int companion_enter_regs(int fd, struct kvm_run *run, unsigned id, uint64_t entry);
/* What a KVM_RUN that returned 0 came to. */
void companion_left(struct kvm_run *run, struct leave *l);

#endif
