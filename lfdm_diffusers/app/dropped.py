"""Files dropped onto the page that a field does not take: told in one sentence, and nothing on the page is lost by it.

Gradio empties a field onto which such a file is dropped and says nothing; a browser leaves the page for a file that is dropped beside all
fields.
"""

from __future__ import annotations

# Classes of fields, by what they take.
TAKES = {"picture": "takes-picture", "clip": "takes-clip", "motion": "takes-motion"}

SCRIPT = """
() => {
    const TAKES = {
        "takes-picture": ["a picture", file => /^image[/]/.test(file.type)],
        "takes-clip": ["a video", file => /^(video|image)[/]/.test(file.type)],
        "takes-motion": ["a saved motion (.safetensors)", file => /[.]safetensors$/i.test(file.name)],
    };
    let last;
    const tell = text => {
        last?.remove();
        last = document.createElement("div");
        last.id = "dropped";
        last.setAttribute("role", "alert");
        last.textContent = text;
        last.onclick = () => last.remove();
        document.body.append(last);
        const own = last;
        setTimeout(() => own.remove(), 10000);
    };
    const fieldOf = event => event.target.closest?.(Object.keys(TAKES).map(name => "." + name).join());
    const hasFiles = event => [...event.dataTransfer?.types ?? []].includes("Files");
    document.addEventListener("dragover", event => { if (hasFiles(event)) event.preventDefault(); }, true);
    document.addEventListener("drop", event => {
        const field = fieldOf(event), files = [...event.dataTransfer?.files ?? []];
        if (!hasFiles(event) || !field) return;
        const [what, takes] = TAKES[Object.keys(TAKES).find(name => field.classList.contains(name))];
        // A file whose type the browser does not know is for the server to look at.
        const wrong = files.find(file => file.type !== "" && !takes(file));
        if (!wrong) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        tell(`${wrong.name} is not ${what}; this field takes nothing else.`);
    }, true);
    document.addEventListener("drop", event => {  // what no field has taken
        if (!hasFiles(event) || event.defaultPrevented) return;
        event.preventDefault();
        tell("Drop a file onto the field that it is for.");
    });
}
"""

CSS = """
#dropped {position: fixed; top: 1rem; right: 1rem; z-index: 2000; max-width: min(24rem, 90vw); padding: .8rem 1rem; border-radius: .5rem;
          background: #fef2f2; color: #991b1b; border: 1px solid #fca5a5; box-shadow: 0 4px 12px #0003; cursor: pointer}
"""
