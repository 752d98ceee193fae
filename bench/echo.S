/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * echo.S - the least that a firmware can do: claims the test device's registers and answers each request with
 * the same number. Built twice, to tell what paging costs: contexts stay in the flat 32-bit mode in which they
 * are entered, or (PAGED) go to 64-bit mode with identity-mapped 2 MiB pages, as the firmware proper does.
 */
#include "firmware/metal/layout.h"

#define N_VCPUS 16 /* sio_config.n_vcpus */
#define ANSWER  48 /* sio_slot_shared: answer, n_ops, ops */
#define N_OPS   56
#define OPS     80
#define HC_PORT 0x510
#define MAP     3

	.section .text.entry, "ax"
	.code32
	.globl _start
_start:	cli
	cld
	imull	$SLOT_SIZE, %ecx, %edi
	leal	SLOT_OFF(%ebx, %edi), %edi
	movl	$1, %esi			/* RETURN */
	cmpl	N_VCPUS(%ebx), %ecx
	jne	1f
	incl	%esi				/* WAIT */
1:	testl	%ecx, %ecx
	jnz	2f
	movl	$2, N_OPS(%edi)
	movl	$MAP, OPS(%edi)
	movl	$0x100, OPS + 4(%edi)		/* ports, reflected, model 1 */
	movl	$0x640, OPS + 8(%edi)
	movl	$32, OPS + 16(%edi)
	movl	$MAP, OPS + 32(%edi)
	movl	$0x101, OPS + 36(%edi)		/* memory */
	movl	$0xfe800000, OPS + 40(%edi)
	movl	$4096, OPS + 48(%edi)
2:	movl	$0x544f4953, ANSWER(%edi)
#ifdef PAGED
	/* The end of the slot is a stack for once. */
	leal	SLOT_SIZE(%edi), %esp
	call	3f
3:	popl	%ebp
	subl	$(3b - _start), %ebp
	leal	(pml4 - _start)(%ebp), %eax
	testl	%ecx, %ecx
	jnz	6f
	leal	(pd - _start)(%ebp), %edx
	movl	$0x83, %eax
	movl	$2048, %ecx
4:	movl	%eax, (%edx)
	addl	$0x200000, %eax
	addl	$8, %edx
	loop	4b
	leal	(pd - _start + 3)(%ebp), %eax
	leal	(pdpt - _start)(%ebp), %edx
	movl	$4, %ecx
5:	movl	%eax, (%edx)
	addl	$0x1000, %eax
	addl	$8, %edx
	loop	5b
	leal	(pml4 - _start)(%ebp), %eax
	leal	(pdpt - _start + 3)(%ebp), %edx
	movl	%edx, (%eax)
6:	movl	$0x20, %edx
	movl	%edx, %cr4
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	$0x80010001, %eax
	movl	%eax, %cr0
	leal	(gdt - _start)(%ebp), %eax
	pushl	%eax
	pushw	$23
	lgdt	(%esp)
	leal	(long - _start)(%ebp), %eax
	pushl	$8
	pushl	%eax
	lret
	.code64
long:
#endif
	movl	%esi, %eax
	movl	$HC_PORT, %edx
7:	outl	%eax, %dx
	movl	$0, N_OPS(%edi)
	jmp	7b

#ifdef PAGED
	.section .rodata
	.balign 8
gdt:	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff
	.bss
	.balign 4096
pml4:	.skip	4096
pdpt:	.skip	4096
pd:	.skip	4 * 4096
#endif
	.section .note.selfio, "a", @note
	.balign 4
	.long	7, 4, 1
	.asciz	"selfio"
	.balign 4
	.long	ABI_VERSION
	.section .note.GNU-stack, "", @progbits
