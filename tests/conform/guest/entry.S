/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry.S - from the reset vector, or from a start-up IPI, to 32-bit C with flat segments.
 *
 * The image is 64 KiB, seen below 4 GiB and below 1 MiB.  The first processor copies it to RAM at
 * 10000h, where it is linked, so that nothing depends on the area below 1 MiB being writable.
 * start16 lies at FF000h: vector FFh of a start-up IPI and the target of the reset vector alike.
 */
#define ROM        0xffff0000
#define ROM_LEN    0x10000
#define LOW16      0xff000
#define CODE32     8
#define DATA32     16
#define STACK      8192
#define APIC_BASE  0x1b
#define BSP        0x100

	.code16
	.section .reset, "ax"
	ljmp $LOW16 >> 4, $0

	.section .start16, "ax"
	.globl start16
start16:
	cli
	cld
	mov %cs, %ax
	mov %ax, %ds
	lgdtl gdtr - start16
	mov %cr0, %eax
	and $~0x60000000, %eax /* caches on */
	or $1, %eax
	mov %eax, %cr0
	ljmpl $CODE32, $LOW16 + start32 - start16

	.balign 8
gdt:	.quad 0
	/* with the accessed bit, which nothing can set in a ROM */
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
gdtr:	.word gdtr - gdt - 1
	.long LOW16 + gdt - start16

	.code32
start32:
	mov $DATA32, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	mov $APIC_BASE, %ecx
	rdmsr
	test $BSP, %eax
	jz 1f
	mov $ROM, %esi
	mov $image, %edi
	mov $ROM_LEN / 4, %ecx
	rep movsl
	mov $bss_start, %edi
	mov $bss_end, %ecx
	sub %edi, %ecx
	xor %eax, %eax
	rep stosb
	mov $stack + STACK, %esp
	mov $rt_main, %eax
	call *%eax

1:	mov $1, %eax
	lock xadd %eax, next_cpu /* starts with 1 */
	inc %eax
	mov %eax, %ecx
	imul $STACK, %ecx, %esp
	add $stack, %esp
	dec %eax
	push %eax
	mov $rt_ap, %eax
	call *%eax

	.data
	.balign 4
next_cpu:
	.long 1

	.text
	/* One of 16 bytes for each vector. */
	.balign 16
	.globl stubs
stubs:
	n = 0
	.rept 48
	.balign 16
	.if !(n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21)
	push $0
	.endif
	push $n
	jmp trap
	n = n + 1
	.endr

trap:	pusha
	cld
	push %esp
	call rt_trap
	add $4, %esp
	popa
	add $8, %esp
	/* IRET, which a KVM that interprets lacks in protected mode: EIP, CS, EFLAGS on the stack
	 * become EFLAGS, EIP. */
	push %eax
	mov 4(%esp), %eax
	xchg %eax, 12(%esp)
	mov %eax, 8(%esp)
	pop %eax
	lea 4(%esp), %esp
	popf
	ret

	.bss
	.balign 16
stack:	.skip STACK * 8
	.section .note.GNU-stack, "", @progbits
