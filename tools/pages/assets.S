/* The parts of the pages, as they lie on disk (see assets.cc). Hidden: no other library can stand in
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

        asset base common/base.css
        asset dom common/dom.js

        asset graph_skeleton graph/page.html
        asset graph_style graph/style.css
        asset graph_stages graph/stages.js
        asset graph_layout graph/layout.js
        asset graph_sections graph/sections.js
        asset graph_graph graph/graph.js
        asset graph_panel graph/panel.js
        asset graph_sidebar graph/sidebar.js
        asset graph_search graph/search.js
        asset graph_memory graph/memory.js
        asset graph_app graph/app.js

        asset serve_skeleton serve/page.html
        asset serve_style serve/style.css
        asset serve_events serve/events.js
        asset serve_api serve/api.js
        asset serve_messages serve/messages.js
        asset serve_chat serve/chat.js
        asset serve_engine serve/engine.js
        asset serve_app serve/app.js

        /* Without this note the linker would make the stack executable. */
        .section .note.GNU-stack, "", %progbits
