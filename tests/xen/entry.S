/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry.S - where the test domain's code starts, and what can't be said in C: entry of the firmware,
 * real mode, long mode, interrupt stubs.
 */
	.code32

	.section .note.Xen, "a"
	.long	4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	pvh_start

	.text
	.globl	pvh_start, hypercall_page, fw_entry, garbage, step_in, ap_start, ap_end, to_long, to_real
	.globl	stub_nmi, stub_db, stub_vector, stub_other

pvh_start:
	cld
	mov	$stacks + 0x4000, %esp
	lgdt	gdt_ptr
	ljmp	$0x08, $1f
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	push	%ebx
	call	guest_main
	hlt

/* The firmware's context of each vCPU: EBX slot, ECX vCPU, EDX shared page. Stacks differ by vCPU. */
fw_entry:
	cmp	$0x584f4953, %eax
	jne	garbage
	mov	%ecx, %eax
	inc	%eax
	shl	$14, %eax
	lea	fw_stacks(%eax), %esp
	push	%edx
	push	%ecx
	push	%ebx
	call	fw_main
garbage:
	ud2

/* A second processor, copied below 1 MiB: real mode to flat mode, then ap_main(). */
	.code16
ap_start:
	cli
	lgdtl	%cs:gdt_ptr_low - ap_start
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$0x08, $ap_flat
gdt_ptr_low:
	.word	gdt_end - gdt - 1
	.long	gdt

real_enter:
	mov	$0x20, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	%cr0, %eax
	and	$0xfe, %al
	mov	%eax, %cr0
	ljmp	$0, $0x8000 + real_code - ap_start

/*
 * Real-mode accesses, run at 0000:8000h + (real_code - ap_start). Results lie at 0000:9000h:
 * +0 AL of IN, +2 AX, +4 EAX, +8 bytes of REP INSB, +40h AL of B800:0000 + ADD's result.
 */
real_code:
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7ff0, %sp
	mov	$0x120, %dx
	in	%dx, %al
	mov	%al, 0x9000
	in	%dx, %ax
	mov	%ax, 0x9002
	in	%dx, %eax
	mov	%eax, 0x9004
	cld
	mov	$0x9008, %di
	mov	$5, %cx
	rep insb
	mov	%cx, 0x9030
	mov	%di, 0x9032
	mov	$0x9008, %si
	mov	$2, %cx
	rep outsw
	mov	$0xb800, %ax
	mov	%ax, %es
	mov	%es:4, %al
	mov	%al, 0x9040
	addw	$1, %es:8
	movw	$0x1234, %es:12
	mov	%es, 0x9042
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$0x08, $real_back
ap_end:

	.code32
ap_flat:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$stacks + 0x8000, %esp
	call	ap_main
1:	hlt
	jmp	1b

/* void to_real(void): goes through real_code and comes back. */
to_real:
	pusha
	mov	%esp, saved_esp
	sidt	saved_idt
	lidt	real_idt
	ljmp	$0x18, $0x8000 + real_enter - ap_start
real_back:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	saved_esp, %esp
	lidt	saved_idt
	popa
	ret

/* void to_long(void): IA-32e mode with the tables at pml4, long_code, and back. */
to_long:
	pusha
	mov	%esp, saved_esp
	mov	%cr4, %eax
	or	$0x20, %eax
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	%cr0, %eax
	or	$0x80000000, %eax
	mov	%eax, %cr0
	ljmp	$0x28, $long_code
	.code64
long_code:
	mov	$0x1111222233334444, %rax
	mov	%rax, %r8
	mov	%rax, %r15
	mov	%rax, %rbx
	mov	$0xd0001000, %esi
	mov	$long_result, %ebp
	mov	(%rsi), %rax		/* 8 bytes */
	mov	%rax, (%rbp)
	movzbl	3(%rsi), %eax
	mov	%eax, 8(%rbp)
	mov	$0x8877665544332211, %rcx
	mov	%rcx, 16(%rsi)
	addq	$5, 8(%rsi)		/* a read and a write */
	mov	$0x120, %edx
	mov	$-1, %rax
	in	%dx, %al
	mov	%rax, 16(%rbp)	/* bits 8-63 stay */
	mov	$-1, %rax
	in	%dx, %eax
	mov	%rax, 24(%rbp)	/* bits 32-63 are cleared */
	push	%rdi
	mov	$long_result + 64, %edi
	mov	$6, %ecx
	rep insw
	pop	%rdi
	mov	%rcx, 32(%rbp)
	cmp	%r8, %rbx
	jne	1f
	cmp	%r15, %rbx
	jne	1f
	movl	$1, 40(%rbp)	/* registers that only long mode has */
1:	mov	%cr3, %rax
	mov	%rax, 48(%rbp)
	mov	$long_far, %eax
	ljmp	*(%rax)
long_far:
	.long	long_back
	.word	0x08
	.code32
long_back:
	mov	%cr0, %eax
	and	$0x7fffffff, %eax
	mov	%eax, %cr0
	mov	$0xc0000080, %ecx
	rdmsr
	and	$~0x100, %eax
	wrmsr
	mov	%cr4, %eax
	and	$~0x20, %eax
	mov	%eax, %cr4
	mov	saved_esp, %esp
	popa
	ret

/* uint32_t step_in(void): IN with TF=1; the trap comes behind it. */
step_in:
	mov	$0x120, %edx
	pushf
	orl	$0x100, (%esp)
	popf
	in	%dx, %eax
	nop
	pushf
	andl	$~0x100, (%esp)
	popf
	ret

	.macro	stub name fn
\name:	pusha
	mov	32(%esp), %eax
	push	%eax
	call	\fn
	add	$4, %esp
	popa
	iret
	.endm
	stub stub_nmi on_nmi
	stub stub_db on_db
	stub stub_vector on_vector
stub_other:
	push	%esp
	call	on_other

	.data
	.balign 8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* 08h flat code */
	.quad	0x00cf93000000ffff	/* 10h flat data */
	.quad	0x000f9b000000ffff	/* 18h 16-bit code */
	.quad	0x000093000000ffff	/* 20h 16-bit data */
	.quad	0x00af9b000000ffff	/* 28h 64-bit code */
gdt_end:
gdt_ptr:
	.word	gdt_end - gdt - 1
	.long	gdt
real_idt:
	.word	0x3ff
	.long	0
saved_idt:
	.skip	8
saved_esp:
	.long	0

	.bss
	.balign 4096
hypercall_page:
	.skip	4096
	.globl	pml4, long_result, stacks, fw_stacks
pml4:	.skip	4096 * 6
long_result:
	.skip	128
	.balign 16
stacks:	.skip	0x4000 * 4
fw_stacks:
	.skip	0x4000 * 4
