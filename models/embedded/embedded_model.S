/* SLUICE_EMBEDDED_MODEL_FILE, as it lies on disk. Hidden: no other library can stand in for it. */

        .section .rodata

        .balign 64
        .globl  sluice_embedded_model_data
        .hidden sluice_embedded_model_data
        .type   sluice_embedded_model_data, STT_OBJECT
sluice_embedded_model_data:
        .incbin SLUICE_EMBEDDED_MODEL_FILE
.Lend:
        .size   sluice_embedded_model_data, .Lend - sluice_embedded_model_data

        .balign 8
        .globl  sluice_embedded_model_size
        .hidden sluice_embedded_model_size
        .type   sluice_embedded_model_size, STT_OBJECT
sluice_embedded_model_size:
        .8byte  .Lend - sluice_embedded_model_data
        .size   sluice_embedded_model_size, 8

        /* Without this note the linker would make the stack executable. */
        .section .note.GNU-stack, "", %progbits
