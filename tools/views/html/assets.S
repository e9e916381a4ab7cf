/* The parts of the page, as they lie on disk (see assets.cc). Hidden: no other library can stand in
   for them. */

        .section .rodata

        .macro asset name, file
        .globl  sluice_page_\name
        .hidden sluice_page_\name
        .type   sluice_page_\name, STT_OBJECT
sluice_page_\name:
        .incbin "\file"
        .byte   0
        .size   sluice_page_\name, . - sluice_page_\name
        .endm

        asset skeleton page.html
        asset style style.css
        asset dom dom.js
        asset stages stages.js
        asset layout layout.js
        asset sections sections.js
        asset graph graph.js
        asset panel panel.js
        asset sidebar sidebar.js
        asset search search.js
        asset memory memory.js
        asset app app.js

        /* Without this note the linker would make the stack executable. */
        .section .note.GNU-stack, "", %progbits
