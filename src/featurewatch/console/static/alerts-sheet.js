// The details of one alert, over whatever page is shown: opened by the address, so that they can be linked to.

import { feedOf } from "./alerts-shared.js";

/** Show the alert that the address names, from now on. @param {import("./main.js").Context} context */
export function followAlert(context) {
  const { router } = context;
  /** @type {{id: string, dialog: import("./alerts-dialog.js").Dialog, details: import("./alerts-details.js").AlertDetails}|null} */
  let shown = null;
  const draw = async () => {
    const { alert } = router.route;
    if (shown?.id === alert) return;
    const before = shown;
    shown = null;
    before?.dialog.close({ sure: true });
    if (alert === "") return;
    const [{ Dialog }, { AlertDetails }] = await Promise.all([import("./alerts-dialog.js"), import("./alerts-details.js")]);
    if (router.route.alert !== alert || shown !== null) return;
    const dialog = new Dialog({
      title: "Alert",
      kind: "sheet",
      back: () => document.querySelector(`[data-alert="${CSS.escape(alert)}"]`) ?? document.querySelector("#page"),
      closed: () => {
        details.close();
        if (shown?.id !== alert) return;
        shown = null;
        router.update({ alert: "" }, { push: true });
      },
    });
    const details = new AlertDetails(context, alert, dialog);
    shown = { id: alert, dialog, details };
    dialog.open();
  };
  const ends = [router.subscribe(() => void draw()), feedOf(context).subscribe((alert) => shown !== null && (alert === null || alert.id === shown.id) && shown.details.changed())];
  void draw();
  return () => ends.forEach((end) => end());
}
