// The page of `fewstep report` without this script: each number links to its entry at the end. With it, the entry, what
// was measured and the runs are shown beside the number, on click and, from the keyboard, on focus.
"use strict";
(() => {
    const panel = document.getElementById("panel");
    const said = document.getElementById("said"); // read aloud: the number, not all that is known of it
    let current = null;

    const make = (tag, attributes, ...children) => {
        const element = Object.assign(document.createElement(tag), attributes);
        element.append(...children);
        return element;
    };

    // A copy without ids, which must stay unique.
    const copyOf = (element) => {
        const copy = element.cloneNode(true);
        copy.removeAttribute("id");
        for (const inner of copy.querySelectorAll("[id]")) inner.removeAttribute("id");
        for (const inner of copy.querySelectorAll("details")) inner.open = true;
        return copy;
    };

    const entryOf = (link) => {
        const hash = link.getAttribute("href") || "";
        return /^#(n\d+|run-)/.test(hash) ? document.getElementById(hash.slice(1)) : null;
    };

    const articleOf = (link) => document.getElementById(link.getAttribute("href").slice(1));

    const numberParts = (entry) => {
        const [name, value, measure, scores] = entry.cells;
        const parts = [make("h3", {}, name.textContent), make("p", { className: "value" }, value.textContent), copyOf(scores.firstElementChild)];
        const runs = Array.from(scores.querySelectorAll("a[href^='#run-']"), articleOf).filter(Boolean);
        const commands = runs.map((run) => run.querySelector(".command")).filter(Boolean);
        if (commands.length) parts.push(make("p", {}, "To make it again:"), ...commands.map(copyOf));
        return parts.concat([articleOf(measure.firstElementChild), ...runs].map(copyOf));
    };

    // The panel must not lie on what was chosen.
    const keepInSight = (link) => {
        const box = link.getBoundingClientRect(), cover = panel.getBoundingClientRect();
        if (box.right > cover.left && box.left < cover.right && box.bottom > cover.top) {
            window.scrollBy(0, box.bottom - cover.top + 16);
        }
    };

    const close = () => {
        panel.hidden = true;
        panel.replaceChildren();
        if (current) current.removeAttribute("aria-current");
        current = null;
    };

    const show = (link, entry) => {
        close();
        current = link;
        link.setAttribute("aria-current", "true");
        const button = make("button", { type: "button", className: "close", textContent: "×" });
        button.setAttribute("aria-label", "close");
        button.addEventListener("click", () => {
            const back = current;
            close();
            if (back) back.focus();
        });
        panel.append(button, ...(entry.tagName === "TR" ? numberParts(entry) : [copyOf(entry)]));
        panel.hidden = false;
        panel.scrollTop = 0;
        said.textContent = Array.from(panel.querySelectorAll("h3, .value"), (part) => part.textContent).join(": ");
        keepInSight(link);
    };

    // From the provenance itself, links lead on as links do.
    const isOutside = (link) => !link.closest("#provenance") && !panel.contains(link);

    document.addEventListener("click", (event) => {
        const link = event.target.closest("a[href]");
        const entry = link && isOutside(link) ? entryOf(link) : null;
        if (entry && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
            event.preventDefault();
            if (current === link && event.detail > 0) close();
            else show(link, entry);
            if (event.detail === 0 && !panel.hidden) panel.focus({ preventScroll: true }); // Enter leads into it
        } else if (link && panel.contains(link)) {
            close();
        }
    });

    document.addEventListener("focusin", (event) => {
        const link = event.target.closest("a[href]");
        const entry = link && isOutside(link) && link.matches(":focus-visible") ? entryOf(link) : null;
        if (entry && link !== current) show(link, entry);
    });

    // A link to an entry of a closed part opens it, where the browser does not do so itself.
    const open = () => {
        const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
        for (let part = target && target.closest("details:not([open])"); part; part = part.parentElement.closest("details:not([open])")) {
            part.open = true;
            target.scrollIntoView();
        }
    };
    window.addEventListener("hashchange", open);
    open();

    // Arrows walk over the numbers of a table and the points of a chart.
    const neighbour = (link, key) => {
        const cell = link.closest("td");
        const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
        if (cell) {
            const row = across ? cell.parentElement : cell.parentElement.parentElement.rows[cell.parentElement.sectionRowIndex + down];
            const target = row && row.cells[cell.cellIndex + across];
            return target && target.querySelector("a[href]");
        }
        const points = Array.from(link.closest("svg").querySelectorAll("a.point"));
        return points[points.indexOf(link) + (across || down)];
    };

    // On paper nothing can be opened: the other measures are printed too.
    let opened = [];
    window.addEventListener("beforeprint", () => {
        opened = Array.from(document.querySelectorAll("details.more:not([open])"));
        for (const more of opened) more.open = true;
    });
    window.addEventListener("afterprint", () => {
        for (const more of opened) more.open = false;
    });

    document.addEventListener("keydown", (event) => {
        if (event.key === "Escape" && !panel.hidden) {
            const back = current;
            close();
            if (back) back.focus({ preventScroll: true });
            close();
        } else if (event.key.startsWith("Arrow") && event.target.matches("td a[href^='#n'], a.point")) {
            const next = neighbour(event.target, event.key);
            if (next) {
                event.preventDefault();
                next.focus();
                const entry = entryOf(next);
                if (entry && isOutside(next)) show(next, entry);
            }
        }
    });
})();
