/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpu.S - for homes on bare processors: from flat 32-bit mode to 64-bit mode, and the exception stubs.
 *
 * Context 0 comes first and builds the page tables: the low 4 GiB, identity, 2 MiB pages.  cpu.c maps
 * what lies above.
 */
#include "firmware/metal/layout.h"

#define rel(x) ((x) - cpu_enter64)

	.text
	.code32
/*
 * Called in 32-bit mode, paging off, with ESI = the context's number, on any stack; returns in 64-bit mode
 * on the context's own stack, with RBX and RSI as they were.
 */
	.globl	cpu_enter64
cpu_enter64:
	call	1f
1:	popl	%ebp
	subl	$rel(1b), %ebp
	testl	%esi, %esi
	jnz	enable
	leal	rel(pd)(%ebp), %edi
	movl	$0x83, %eax		/* present, writable, large */
	movl	$2048, %ecx
2:	movl	%eax, (%edi)
	movl	$0, 4(%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	2b
	leal	(rel(pd) + 3)(%ebp), %eax
	leal	rel(cpu_pdpt)(%ebp), %edi
	movl	$4, %ecx
3:	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	loop	3b
	leal	(rel(cpu_pdpt) + 3)(%ebp), %eax
	movl	%eax, rel(pml4)(%ebp)

enable:
	popl	%edi
	movl	$0x20, %eax		/* CR4.PAE */
	movl	%eax, %cr4
	leal	rel(pml4)(%ebp), %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx	/* EFER.LME */
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	$0x80010001, %eax	/* CR0.PG, WP, PE */
	movl	%eax, %cr0

	leal	rel(gdt)(%ebp), %eax
	pushl	%eax
	pushw	$(gdt_end - gdt - 1)
	lgdt	(%esp)
	leal	rel(start64)(%ebp), %eax
	pushl	$8
	pushl	%eax
	lret

	.code64
start64:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%esi, %esi
	movl	%ebx, %ebx
	movl	%edi, %edi
	leaq	cpu_stacks(%rip), %rsp
	leaq	1(%rsi), %rax
	shlq	$STACK_SHIFT, %rax
	addq	%rax, %rsp
	jmp	*%rdi

	/* Exceptions: vector and error code on the stack, all registers, then the report. */
	.globl	cpu_vectors
	.balign 16
cpu_vectors:
	.set	vec, 0
	.rept	32
	.balign 16
	.if	vec != 8 && (vec < 10 || vec > 14) && vec != 17 && vec != 21
	pushq	$0
	.endif
	pushq	$vec
	jmp	exception
	.set	vec, vec + 1
	.endr

exception:
	pushq	%r15
	pushq	%r14
	pushq	%r13
	pushq	%r12
	pushq	%r11
	pushq	%r10
	pushq	%r9
	pushq	%r8
	pushq	%rdi
	pushq	%rsi
	pushq	%rbp
	pushq	%rsp
	pushq	%rbx
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	movq	%rsp, %rdi
	call	cpu_exception
	ud2

	.section .rodata
	.balign 8
gdt:	.quad	0
	.quad	0x00af9b000000ffff	/* 64-bit code */
	.quad	0x00cf93000000ffff	/* data */
gdt_end:

	.bss
	.balign 4096
pml4:	.skip	4096
	.globl	cpu_pdpt
cpu_pdpt: .skip	4096
pd:	.skip	4 * 4096
	.globl	cpu_stacks
cpu_stacks: .skip MAX_CONTEXTS << STACK_SHIFT

	.section .note.GNU-stack, "", @progbits
