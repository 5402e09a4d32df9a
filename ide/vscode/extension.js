// Recordings of orch in VS Code: how the adapter is started, and the two requests that are
// not in the protocol. Everything else is `orch dap`.
const vscode = require("vscode");

function activate(context) {
    const adapter = {
        createDebugAdapterDescriptor: () =>
            new vscode.DebugAdapterExecutable(vscode.workspace.getConfiguration("orch").get("path"), ["dap"]),
    };
    // Without launch.json, F5 gives an empty configuration.
    const complete = {
        resolveDebugConfiguration: (_folder, given) =>
            given.type ? given : { type: "orch", request: "launch", name: "The newest recording" },
    };
    context.subscriptions.push(
        vscode.debug.registerDebugAdapterDescriptorFactory("orch", adapter),
        vscode.debug.registerDebugConfigurationProvider("orch", complete),
        vscode.commands.registerCommand("orch.whoWrote", (shown) => told(() => whoWrote(shown))),
        vscode.commands.registerCommand("orch.jump", () => told(jump)),
    );
}

async function told(act) {
    try {
        await act();
    } catch (error) {
        vscode.window.showErrorMessage(error.message);
    }
}

function session() {
    const now = vscode.debug.activeDebugSession;
    if (now?.type !== "orch") throw new Error("orch: no recording is being debugged");
    return now;
}

// Of the variable whose menu it is, or else of what is typed; then on to one of these.
async function whoWrote(shown) {
    const now = session();
    const place = shown?.variable
        ? { variablesReference: shown.container.variablesReference, name: shown.variable.name }
        : await typed();
    if (!place) return;
    const { rows, note } = await now.customRequest("orch/whoWrote", place);
    const items = rows.map((row) => ({
        label: row.file ? `${row.kind} in ${row.function} ${row.file}:${row.line}` : row.kind,
        description: `${row.program ?? "outside"} ${row.pid ?? ""}, ${row.position}`,
        detail: `${row.old ?? "?"} → ${row.new}`,
        position: row.position,
    }));
    if (items.length === 0) throw new Error(note ?? "nobody wrote there before this instant");
    const chosen = await vscode.window.showQuickPick(items, {
        title: "Who wrote this? The newest is the last; choose one to go there",
        matchOnDetail: true,
    });
    if (chosen) await now.customRequest("orch/jump", { position: chosen.position });
}

async function typed() {
    const expression = await vscode.window.showInputBox({ prompt: "An expression, or an address" });
    const frameId = vscode.debug.activeStackItem?.frameId;
    return expression && { expression, frameId };
}

async function jump() {
    const now = session();
    const { position: value } = await now.customRequest("orch/when");
    const position = await vscode.window.showInputBox({ prompt: "A position, like p3@18402", value });
    if (position) await now.customRequest("orch/jump", { position });
}

module.exports = { activate };
