//! The picture: codes per second over callers.

use std::path::Path;

use plotters::prelude::*;

use crate::lines::Point;

/// Draws the three curves on axes that both double, as an SVG.
pub(crate) fn draw(curve: &[Point], path: &Path) {
    let Some(last) = curve.last() else { return };
    let most = curve.iter().map(|point| point.floor.max(point.ours)).fold(1.0, f64::max);
    let least = curve.iter().map(|point| point.old.max(0.5)).fold(most, f64::min);
    let root = SVGBackend::new(path, (900, 520)).into_drawing_area();
    let drawn = (|| -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption("Codes per second, one code a call", ("sans-serif", 22))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(
                (1.0..last.callers as f64).log_scale().base(2.0),
                (least / 2.0..most * 2.0).log_scale(),
            )?;
        chart
            .configure_mesh()
            .light_line_style(BLACK.mix(0.04))
            .x_desc("callers at the same time")
            .y_desc("codes per second")
            .x_labels(10)
            .x_label_formatter(&|callers| format!("{callers:.0}"))
            .y_label_formatter(&|rate| format!("{rate:.0}"))
            .label_style(("sans-serif", 15))
            .draw()?;
        let mut line = |name: &str,
                        color: RGBColor,
                        value: fn(&Point) -> f64|
         -> Result<(), Box<dyn std::error::Error>> {
            let points = curve.iter().map(|point| (point.callers as f64, value(point).max(least)));
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(3)).point_size(4))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], color.stroke_width(3)));
            Ok(())
        };
        line("floor: updateMany on known ids", RGBColor(150, 150, 150), |point| point.floor)?;
        line("code-service", RGBColor(0, 107, 164), |point| point.ours)?;
        line("the deployed algorithm", RGBColor(200, 82, 0), |point| point.old)?;
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.9))
            .border_style(BLACK.mix(0.2))
            .label_font(("sans-serif", 16))
            .draw()?;
        root.present()?;
        Ok(())
    })();
    drawn.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
