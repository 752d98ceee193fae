/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * piix4_pm.h - Intel 82371AB (PIIX4) power management, function 00:01.3.  No configuration struct.
 *
 * Output line 0 is SCI (level; true: asserted), which belongs on GSI 9.  Input line 0 is the power
 * button: a press is a change from false to true.
 *
 * What ACPI tables have to say of it: PM1a event block at PMBASE (4 bytes), PM1a control block at
 * PMBASE + 4 (2), PM timer at PMBASE + 8 (4), GPE0 block at PIIX4_GPE0_BASE (4), SMI command port
 * PIIX4_APMC with PIIX4_ACPI_ENABLE and PIIX4_ACPI_DISABLE, \_S5 with SLP_TYP PIIX4_S5.
 */
#ifndef MODELS_PM_PIIX4_PM_H
#define MODELS_PM_PIIX4_PM_H

#include "models/dev.h"

#define PIIX4_GPE0_BASE    0xafe0u
#define PIIX4_APMC         0xb2u
#define PIIX4_ACPI_ENABLE  0xf1u
#define PIIX4_ACPI_DISABLE 0xf0u
#define PIIX4_S5           0u

extern const struct dev_class piix4_pm_class;

#endif
