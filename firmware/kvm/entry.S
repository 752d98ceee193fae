/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry.S - the one entry point, from flat 32-bit mode to C in 64-bit mode (include/sio/abi.h), and
 * the exception stubs.
 *
 * Context 0 comes first and builds the page tables: the low 4 GiB, identity, 2 MiB pages.  start.c maps
 * what lies above.
 */
#include "firmware/kvm/layout.h"

#define rva(x) ((x) - _start)

	.section .text.entry, "ax"
	.code32
	.globl _start
_start:
	cli
	cld
	cmpl	$ENTRY_MAGIC, %eax
	jne	hang
	/* Until there is a stack: the end of this context's slot. */
	imull	$SLOT_SIZE, %ecx, %edx
	leal	(SLOT_OFF + SLOT_SIZE)(%ebx, %edx), %esp
	call	1f
1:	popl	%ebp
	subl	$rva(1b), %ebp
	movl	%ecx, %esi

	testl	%esi, %esi
	jnz	enable
	leal	rva(pd)(%ebp), %edi
	movl	$0x83, %eax		/* present, writable, large */
	movl	$2048, %ecx
2:	movl	%eax, (%edi)
	movl	$0, 4(%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	2b
	leal	(rva(pd) + 3)(%ebp), %eax
	leal	rva(fw_pdpt)(%ebp), %edi
	movl	$4, %ecx
3:	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	loop	3b
	leal	(rva(fw_pdpt) + 3)(%ebp), %eax
	movl	%eax, rva(pml4)(%ebp)

enable:
	movl	$0x20, %eax		/* CR4.PAE */
	movl	%eax, %cr4
	leal	rva(pml4)(%ebp), %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx	/* EFER.LME */
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	$0x80010001, %eax	/* CR0.PG, WP, PE */
	movl	%eax, %cr0

	leal	rva(gdt)(%ebp), %eax
	pushl	%eax
	pushw	$(gdt_end - gdt - 1)
	lgdt	(%esp)
	leal	rva(start64)(%ebp), %eax
	pushl	$8
	pushl	%eax
	lret
hang:	hlt
	jmp	hang

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
	leaq	fw_stacks(%rip), %rsp
	leaq	1(%rsi), %rax
	shlq	$STACK_SHIFT, %rax
	addq	%rax, %rsp
	testl	%esi, %esi
	jnz	5f
	/* The image is linked at 0: every word that holds an address awaits the real base. */
	leaq	_start(%rip), %rdx
	leaq	_rela_start(%rip), %rax
	leaq	_rela_end(%rip), %rcx
4:	cmpq	%rcx, %rax
	jae	5f
	movq	(%rax), %rdi
	movq	16(%rax), %r8
	addq	%rdx, %r8
	movq	%r8, (%rdi, %rdx)
	addq	$24, %rax
	jmp	4b
5:	xorl	%ebp, %ebp
	movq	%rbx, %rdi
	call	fw_start
	ud2

	/* Exceptions: vector and error code on the stack, all registers, then the report. */
	.globl	fw_vectors
	.balign 16
fw_vectors:
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
	call	fw_exception
	ud2

	.section .rodata
	.balign 8
gdt:	.quad	0
	.quad	0x00af9b000000ffff	/* 64-bit code */
	.quad	0x00cf93000000ffff	/* data */
gdt_end:

	.section .note.selfio, "a", @note
	.balign 4
	.long	7, 4, 1			/* name "selfio", one word, SIO_NOTE_ABI */
	.asciz	"selfio"
	.balign 4
	.long	ABI_VERSION

	.bss
	.balign 4096
pml4:	.skip	4096
	.globl	fw_pdpt
fw_pdpt: .skip	4096
pd:	.skip	4 * 4096
	.globl	fw_stacks
fw_stacks: .skip MAX_CONTEXTS << STACK_SHIFT

	.section .note.GNU-stack, "", @progbits
