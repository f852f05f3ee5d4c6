"""The page in a headless Chromium: test_page.py PAGE.html FOLDER.

No message in the console, nothing fetched, no sideways scrolling, and the parts that a reader can use work: a number shows
where it comes from on click and on focus, arrows walk over tables and charts, Escape closes, links without the script have
a target, a phone gets the narrow charts. FOLDER gets screenshots and a PDF, which are there to be looked at."""
import base64
import pathlib
import shutil
import subprocess
import sys
import time

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

page = pathlib.Path(sys.argv[1]).resolve()
folder = pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
(folder / "firefox-profile").mkdir(exist_ok=True)
failures = []


def check(condition, what):
    print(("ok      " if condition else "FAILED  ") + what)
    if not condition:
        failures.append(what)


def start():
    options = Options()
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


def show(driver, width, height, scheme, scale=1, script=True):
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                           {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    driver.get(page.as_uri())


def picture(driver, name, whole=False):
    if whole:
        height = driver.execute_script("return document.querySelector('#provenance').offsetTop")
        shot = driver.execute_cdp_cmd("Page.captureScreenshot", {
            "captureBeyondViewport": True,
            "clip": {"x": 0, "y": 0, "width": driver.execute_script("return innerWidth"), "height": height, "scale": 1}})
        (folder / name).write_bytes(base64.b64decode(shot["data"]))
    else:
        driver.save_screenshot(str(folder / name))


def picture_in_firefox():
    """A second engine, by its own screenshot: Debian has no driver for it."""
    if not shutil.which("firefox-esr"):
        print("skipped  a picture in Firefox: make deps-page installs it")
        return
    path = folder / "firefox.png"
    subprocess.run(["firefox-esr", "--headless", "--no-remote", "--profile", folder / "firefox-profile", "--window-size", "820,2400",
                    "--screenshot", path.resolve(), page.as_uri()], capture_output=True, timeout=180, check=False)
    check(path.exists() and path.stat().st_size > 20000, "Firefox draws the page, too")


def panel(driver):
    element = driver.find_element(By.ID, "panel")
    return element.text if element.is_displayed() else None


def check_links(driver):
    broken = driver.execute_script("""
        const ids = Array.from(document.querySelectorAll('[id]'), (element) => element.id);
        const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
        const lost = Array.from(document.querySelectorAll('a'), (link) => link.getAttribute('href'))
            .filter((href) => !href.startsWith('#') || !document.getElementById(href.slice(1)));
        return twice.concat(lost);""")
    check(broken == [], f"links have targets, ids are unique {broken[:3]}")
    unnamed = driver.execute_script("""
        return Array.from(document.querySelectorAll('svg, img, a.point, [role=region]'))
            .filter((e) => !(e.alt || e.querySelector('title') || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby')))
            .length""")
    check(unnamed == 0, "charts, points, pictures and scrolling regions have names")


def shows_provenance(driver):
    """The runs behind a number, and the command where there is one: none for a run of a program that knew other keys."""
    text = panel(driver) or ""
    commands = driver.execute_script("return document.querySelectorAll('#provenance article .command').length")
    return "seed " in text and (commands == 0 or "To make it again" in text and "fewstep run" in text)


def check_click(driver):
    numbers = driver.find_elements(By.CSS_SELECTOR, "a.number")
    check(panel(driver) is None, "no panel at first")
    numbers[0].click()
    text = panel(driver) or ""
    check(shows_provenance(driver) and numbers[0].text.strip("()") in text, "a click shows the provenance")
    picture(driver, "panel.png")
    numbers[0].click()
    check(panel(driver) is None, "a second click closes it")
    driver.execute_script("document.querySelector('svg.wide').scrollIntoView({block: 'center'})")
    driver.execute_script("""
        return Array.from(document.querySelectorAll('svg.wide a.point')).find((point) => {
            const box = point.querySelector('.hit').getBoundingClientRect();
            const there = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            return there && there.closest('a') === point;
        })""").click()
    check(shows_provenance(driver), "a point of a chart shows the provenance")
    driver.find_element(By.CSS_SELECTOR, "#panel .close").click()
    check(panel(driver) is None, "its button closes it")
    pictures = driver.find_elements(By.CSS_SELECTOR, ".samples img")
    if pictures:
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", pictures[0])
        pictures[0].click()
        check(shows_provenance(driver), "a picture shows the provenance")
        check(driver.execute_script("return arguments[0].naturalWidth", pictures[0]) > 0, "pictures are there")


def focus_text(driver):
    return driver.switch_to.active_element.get_attribute("href")


def check_keyboard(driver):
    body = driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    check(driver.switch_to.active_element.get_attribute("class") == "skip", "the first stop leads past the contents")
    for _ in range(60):
        if driver.switch_to.active_element.get_attribute("class") == "number":
            break
        driver.switch_to.active_element.send_keys(Keys.TAB)
    first = focus_text(driver)
    check(shows_provenance(driver), "focus from the keyboard shows the provenance")
    driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    right = focus_text(driver)
    driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    down = focus_text(driver)
    check(len({first, right, down}) == 3, "arrows walk over a table")
    driver.switch_to.active_element.send_keys(Keys.ARROW_UP)
    driver.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    check(focus_text(driver) == first, "and back")
    driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    check(panel(driver) is None and focus_text(driver) == first, "Escape closes and keeps the place")


def check_phone(driver, scheme):
    show(driver, 390, 844, scheme, 2)
    check(driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), f"no sideways scrolling ({scheme})")
    shown = driver.execute_script("return Array.from(document.querySelectorAll('figure > svg'), (svg) => "
                                  "[svg.classList.contains('narrow'), svg.getBoundingClientRect().height > 0])")
    check(all(narrow == visible for narrow, visible in shown) and shown, "a phone gets the narrow charts")
    sizes = driver.execute_script("return Array.from(document.querySelectorAll('svg.narrow text'), "
                                  "(text) => text.getBoundingClientRect()).filter((box) => box.height > 0 && "
                                  "(box.left < 0 || box.right > innerWidth + 1)).length")
    check(sizes == 0, "no text of a narrow chart is cut off")
    picture(driver, f"phone-{scheme}.png", whole=True)


def check_contrast(driver, scheme):
    """WCAG 2.1, 1.4.3: text and paper differ by 4.5, names of lines included."""
    worst = driver.execute_script("""
        const channels = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((value) => value / 255);
        const luminance = (rgb) => {
            const [r, g, b] = rgb.map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = luminance(channels(getComputedStyle(document.body).backgroundColor));
        const contrast = (colour) => {
            const own = luminance(channels(colour));
            return (Math.max(own, paper) + 0.05) / (Math.min(own, paper) + 0.05);
        };
        const colours = Array.from(document.querySelectorAll('p, td, th, a, small, figcaption, dt'), (e) => getComputedStyle(e).color)
            .concat(Array.from(document.querySelectorAll('svg text'), (e) => getComputedStyle(e).fill));
        return Math.min(...new Set(colours.map(contrast)));""")
    check(worst >= 4.5, f"contrast of text is 4.5 or more ({scheme}: {worst:.2f})")


def main():
    driver = start()
    try:
        check(page.stat().st_size < 5_000_000, f"below 5 MB ({page.stat().st_size} bytes)")
        show(driver, 1100, 800, "light")
        check_links(driver)
        check_contrast(driver, "light")
        check_click(driver)
        show(driver, 1100, 800, "light")
        check_keyboard(driver)
        show(driver, 1100, 800, "light")
        check(driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling on a desktop")
        picture(driver, "desktop-light.png", whole=True)
        for width in (820, 1400):
            show(driver, width, 800, "light")
            check(driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), f"no sideways scrolling at {width} px")
            picture(driver, f"width-{width}.png", whole=True)
        show(driver, 1100, 800, "dark")
        check_contrast(driver, "dark")
        picture(driver, "desktop-dark.png", whole=True)
        check_phone(driver, "light")
        check_phone(driver, "dark")
        show(driver, 1100, 800, "light", script=False)
        number = driver.find_element(By.CSS_SELECTOR, "a.number")
        target = number.get_attribute("href")
        number.click()
        time.sleep(0.2)
        check(driver.current_url == target, "without the script a number leads to its entry")
        show(driver, 1100, 800, "light")
        pdf = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "paperWidth": 8.27, "paperHeight": 11.69})
        (folder / "print.pdf").write_bytes(base64.b64decode(pdf["data"]))
        messages = [entry["message"] for entry in driver.get_log("browser")]
        check(messages == [], f"nothing in the console {messages[:2]}")
        fetched = [entry for entry in driver.get_log("performance") if '"Network.requestWillBeSent"' in entry["message"]
                   and "file://" not in entry["message"] and '"url":"data:' not in entry["message"]]
        check(fetched == [], "nothing is fetched")
    finally:
        driver.quit()
    picture_in_firefox()
    if failures:
        sys.exit(f"{len(failures)} checks failed")


main()
