/* The page's style sheet and script: page.css and page.js, turned into texts by the Makefile. */
#ifndef FEWSTEP_PAGE_ASSETS_H
#define FEWSTEP_PAGE_ASSETS_H

extern const char fs_page_css[], fs_page_js[];

#endif
