/* SPDX-License-Identifier: BSD-2-Clause */
/* entry.S - the one entry point, in flat 32-bit mode, of all contexts (include/sio/abi.h). */
#include "firmware/metal/layout.h"

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
	movl	%ecx, %esi
	call	cpu_enter64

	.code64
	testl	%esi, %esi
	jnz	2f
	/* The image is linked at 0: every word that holds an address awaits the real base. */
	leaq	_start(%rip), %rdx
	leaq	_rela_start(%rip), %rax
	leaq	_rela_end(%rip), %rcx
1:	cmpq	%rcx, %rax
	jae	2f
	movq	(%rax), %rdi
	movq	16(%rax), %r8
	addq	%rdx, %r8
	movq	%r8, (%rdi, %rdx)
	addq	$24, %rax
	jmp	1b
2:	xorl	%ebp, %ebp
	movq	%rbx, %rdi
	call	fw_start
	ud2
hang:	hlt
	jmp	hang

	.section .note.selfio, "a", @note
	.balign 4
	.long	7, 4, 1			/* name "selfio", one word, SIO_NOTE_ABI */
	.asciz	"selfio"
	.balign 4
	.long	ABI_VERSION

	.section .note.GNU-stack, "", @progbits
